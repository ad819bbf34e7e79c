#!/bin/sh
# Makes public/ out of the sources, as Hugo or Jekyll would. hookd says in HOOKD_… what is being deployed.
set -eu
mkdir public
cp style.css public/
sed -e "s|@COMMIT@|$(printf %.7s "$HOOKD_COMMIT")|" \
    -e "s|@BRANCH@|$HOOKD_BRANCH|" \
    -e "s|@TIME@|$(date -u '+%Y-%m-%d %H:%M:%S')|" index.html > public/index.html
echo "built public/index.html"
