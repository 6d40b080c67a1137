"""Draw all pictures anew (`make pictures`): docs/state-machine.svg, and one of what each command prints."""

from tools.pictures.making import FOLDER, made


def main() -> None:
    for name, svg in made().items():
        (FOLDER / name).write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
