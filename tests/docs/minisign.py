"""Stands in for minisign: `-S -s KEY -m FILE` and `-V -p PUBLIC -m FILE`."""

import sys
from pathlib import Path

import minisign


def main() -> None:
    """Ends with 1 if the signature is not of the file."""
    action, _, key, _, name = sys.argv[1:]
    content, signature = Path(name).read_bytes(), Path(f"{name}.minisig")
    if action == "-S":
        secret = minisign.SecretKey.from_bytes(Path(key).read_bytes())
        signature.write_bytes(bytes(secret.sign(content)) + b"\n")
    else:
        public = minisign.PublicKey.from_bytes(Path(key).read_bytes())
        public.verify(content, minisign.Signature.from_bytes(signature.read_bytes()))


if __name__ == "__main__":
    main()
