complete --keep-order --exclusive --command hookd --arguments "(HOOKD_COMPLETE=fish hookd -- (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token))"
