"""Files that are not in a data set: on the screen and in a file."""

import csv
from pathlib import Path

from training.data.file_split import SkippedFile
from training.data.left_out import LEFT_OUT, left_out_table, write_left_out


def test_the_table_is_short_and_the_file_lists_all(tmp_path: Path) -> None:
    skipped = [SkippedFile(f"{number},\n.txt", "hidden file") for number in range(300)]
    table = left_out_table(skipped)
    assert table.row_count == 20
    assert table.title == "Left out: 300 files, the first 20"
    said = write_left_out(tmp_path, skipped)
    path = tmp_path / LEFT_OUT
    assert said == f"Left out: 300 files, each listed with its reason in {path}."
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [["file", "reason"], *([one.path, one.reason] for one in skipped)]
    assert write_left_out(tmp_path, skipped[:1]).startswith("Left out: 1 file, each")
