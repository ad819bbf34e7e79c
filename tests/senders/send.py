"""Signs a delivery with Python's hmac or with openssl, as a forge would, and sends it.

Standard input: {url, body (a file), secret, form, headers, and how to sign, if at all:
sign: {header, algorithm, encoding, prefix} for an HMAC; basic: the user, with the secret as the password;
ed25519: "sourcehut" or "standard", with the key's file as the secret}. Of the signed body, `cut` bytes are sent if it is there. Prints {status, text}.
"""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request


def ed25519(key, data):
    """Openssl signs files only."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        command = ["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", file.name]
        return base64.b64encode(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout).decode()


def signature(order, signed):
    """The headers of the signature over these bytes."""
    secret = order["secret"].encode()
    if "sign" in order:
        how = order["sign"]
        tag = hmac.new(secret, signed, getattr(hashlib, how["algorithm"])).digest()
        text = tag.hex() if how["encoding"] == "hex" else base64.b64encode(tag).decode()
        return {how["header"]: how["prefix"] + text}
    if "basic" in order:
        pair = order["basic"].encode() + b":" + secret
        return {"Authorization": "Basic " + base64.b64encode(pair).decode()}
    if order.get("ed25519") == "sourcehut":
        nonce = os.urandom(8).hex()
        tag = ed25519(order["secret"], signed + nonce.encode())
        return {"X-Payload-Signature": tag, "X-Payload-Nonce": nonce}
    if order.get("ed25519") == "standard":
        now = str(int(time.time()))
        envelope = f"{order['headers']['webhook-id']}.{now}."
        tag = ed25519(order["secret"], envelope.encode() + signed)
        return {"webhook-timestamp": now, "webhook-signature": "v1a," + tag}
    return {}


def main():
    """Reads the order, sends, and prints the answer."""
    order = json.load(sys.stdin)
    with open(order["body"], "rb") as file:
        body = file.read()
    headers = {"Content-Type": "application/json", **signature(order, body), **order["headers"]}
    if order.get("form"):
        # What sends forms through here signs the JSON in them.
        body = urllib.parse.urlencode({"payload": body}).encode()
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    body = body[: order.get("cut")]
    request = urllib.request.Request(order["url"], data=body, headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    print(json.dumps({"status": status, "text": text.decode()}))


main()
