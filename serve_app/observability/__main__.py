"""Writes the dashboards and alert rules: `python -m serve_app.observability FOLDER`."""

from __future__ import annotations

from pathlib import Path

import click

from serve_app.observability.files import all_files


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def main(folder: Path) -> None:
    """Write Grafana's dashboards and Prometheus' alert rules below FOLDER."""
    for path, content in all_files().items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")
        click.echo(str(target))


if __name__ == "__main__":
    main()
