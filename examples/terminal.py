"""What the example shows: a table and progress with rich on a terminal, plain lines elsewhere."""
import contextlib
import sys
import textwrap

# What a line of plain output is wrapped at.
COLUMNS = 100


class Terminal:
    """Knows whether it is read by a person or a file, and whether rich is there."""

    def __init__(self, out=None):
        self.out = out or sys.stdout
        self.console = _console(self.out)

    def say(self, text=""):
        print(text, file=self.out, flush=True)

    @contextlib.contextmanager
    def progress(self, title, steps):
        """Yields advance(text): to be called when one of ``steps`` is done."""
        if self.console is None:
            yield lambda text: self.say(f"{title}: {text}")
            return
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"),
                   TimeElapsedColumn())
        with Progress(*columns, console=self.console, transient=True) as progress:
            bar = progress.add_task(title, total=steps)

            def advance(text):
                progress.update(bar, advance=1, description=f"{title}: {text}")
            yield advance

    def table(self, head, rows, notes):
        """rows: a list of cells each; notes: a line below each row, across all columns."""
        if self.console is None:
            self._plain_table(head, rows, notes)
        else:
            self._rich_table(head, rows, notes)

    def _plain_table(self, head, rows, notes):
        widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
        self.say("  ".join(cell.ljust(width) for cell, width in zip(head, widths)).rstrip())
        self.say("  ".join("-" * width for width in widths))
        for row, note in zip(rows, notes):
            self.say("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
            if note:
                self.say(textwrap.fill(note, COLUMNS, initial_indent="    ", subsequent_indent="    "))

    def _rich_table(self, head, rows, notes):
        from rich import box
        from rich.table import Table
        from rich.text import Text
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        for title in head:
            table.add_column(title, no_wrap=True)
        for row in rows:
            table.add_row(*row)
        self.console.print(table)
        for row, note in zip(rows, notes):
            if note:
                self.console.print(Text.assemble((row[0], "bold"), f": {note}"))


def _console(out):
    """A rich console, None where there is no person or no rich."""
    if not out.isatty():
        return None
    try:
        from rich.console import Console
    except ImportError:
        return None
    return Console(file=out)
