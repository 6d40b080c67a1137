"""What a test has counted, for those who run it with `-s` or `-rP`."""


def figure(text: str) -> None:
    print(f"figure: {text}")
