"""The page of a run: what it says, of runs in every state, and that it is one whole file."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from models.errors import ConfigError
from tests.training.conftest import QUICK
from training.data.file_split import SkippedFile
from training.data.left_out import write_left_out
from training.errors import RunError
from training.evaluation.trained import load_trained_model
from training.report.page import REPORT, format_duration, make_page, write_report
from training.runs.exports import record_export
from training.runs.folder import LOG, STATE

pytestmark = pytest.mark.slow


class Reader(HTMLParser):
    """The words of a page, where its parts come from, and which tags are left open."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words, self.sources, self.ids, self.open = "", [], [], []
        self.feed(html)
        self.words = re.sub(r"\s+", " ", self.words)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "srcset", "data", "xlink:href", "action"):
                self.sources.append(str(value))
            if name == "id":
                self.ids.append(str(value))

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words += f" {data}"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the trained run, to be changed."""
    return Path(shutil.copytree(trained, tmp_path / "small"))


def change_state(run: Path, **changes: object) -> None:
    state = json.loads((run / STATE).read_text())
    (run / STATE).write_text(json.dumps({**state, **changes}))


def test_the_end_of_training_has_written_the_page(trained: Path) -> None:
    assert (trained / REPORT).read_text() == make_page(trained)


def test_the_page_is_whole_and_names_no_other_file(trained: Path) -> None:
    page = Reader(make_page(trained))
    assert page.open == []
    assert not [s for s in page.sources if not s.startswith(("data:", "#"))]
    assert len([s for s in page.sources if s.startswith("data:image/png;base64,iVBOR")]) >= 27
    assert len(set(page.ids)) == len(page.ids)
    assert {link[1:] for link in page.sources if link.startswith("#")} <= set(page.ids)


def test_the_page_says_what_was_trained_how_far_and_how_well(trained: Path) -> None:
    words, state = Reader(make_page(trained)).words, json.loads((trained / STATE).read_text())
    bound, error = (state[f"best_validation_{name}_nats"] for name in ("bound", "standard_error"))
    for said in (
        "finished all 15 epochs are done.",
        f"{bound:.2f} ± {error:.2f} nats per image, higher is better",
        "15 of 15",
        "8 x 8 pixels, grey, 17 levels",
        "One point for each of 15 validations. Where the start",
        "The best weights have no test scores yet. vae-lab evaluate",
        "by the averaged weights of epoch 15",
        'kind = "discretized_logistic"',
        f"Data, sha256 {state['dataset_sha256']}",
        "Files left out none",
        "torch 2",
        "How to read this page",
    ):
        assert said in words, said


def test_scores_stand_on_the_page_with_their_errors_and_numbers_of_images(run: Path) -> None:
    evaluation = load_trained_model(run).evaluate(settings=QUICK)
    write_report(run)
    words = Reader((run / REPORT).read_text()).words
    elbo = evaluation.estimates[0]
    assert f"ELBO, 1 draws 300 {elbo.mean_nats:.2f} {elbo.standard_error_nats:.2f}" in words
    assert "Means over the 300 test images, by the best weights." in words
    own, pca = evaluation.reconstructions
    assert f"this model 300 {own.mean_squared_error:.5f} {own.standard_error:.5f}" in words
    assert f"{pca.num_components} components 300 {pca.mean_squared_error:.5f}" in words
    probed = evaluation.embeddings[0]
    assert f"posterior means 300 {100 * probed.linear_accuracy:.1f} (" in words
    worse = own.mean_squared_error > 1.01 * pca.mean_squared_error
    assert ("Reconstructions are worse than those of a PCA" in words) == worse
    assert "no test scores yet" not in words


def test_files_left_out_bundles_and_several_starts_are_named(run: Path, tmp_path: Path) -> None:
    write_left_out(run, [SkippedFile(f"{i}<b>.png", "cut & short") for i in range(1200)])
    record_export(run, tmp_path / "models/small/1", weights_sha256="another")
    starts = run / "starts.jsonl"
    starts.write_text(starts.read_text() * 2)
    page = make_page(run)
    words = Reader(page).words
    assert "Files left out 1,200, each listed with its reason in left-out.csv" in words
    assert "1,200: cut & short" in words
    assert "the last of 2 starts" in words
    assert "Exported as" not in words
    assert "<b>" not in page


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 9}, "The best validation is that of epoch 9, and the weights of that epoch"),
        ({}, "The last validation is the best one."),
    ],
)
def test_the_page_remarks_on_the_best_epoch(run: Path, changes: dict, words: str) -> None:
    change_state(run, **{"epochs": 15, **changes})
    assert words in Reader(make_page(run)).words


def test_the_page_remarks_on_skipped_steps(run: Path) -> None:
    *lines, last = (run / LOG).read_text().splitlines()
    changed = json.dumps({**json.loads(last), "skipped_steps": 1234})
    (run / LOG).write_text("\n".join([*lines, changed]))
    assert "1,234 steps were skipped" in Reader(make_page(run)).words


def test_a_run_without_a_validation_has_a_page_that_says_so(trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "new"
    run.mkdir()
    shutil.copy(trained / "recipe.toml", run)
    words = Reader(make_page(run)).words
    for said in (
        "not started",
        "0 of 15",
        "There is no finite validation yet.",
        "No validation has kept pictures.",
        "Seed 5",
    ):
        assert said in words, said
    assert "KL by" not in words


def test_a_folder_without_a_run_and_a_damaged_run_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"There is no run at .*vae-lab runs lists them"):
        make_page(tmp_path)
    (run / "end.json").write_text("{")
    with pytest.raises(ConfigError, match=r"A file of the run .* is damaged"):
        make_page(run)


def test_a_page_that_cannot_be_written_is_an_error_that_names_it(run: Path) -> None:
    (run / REPORT).unlink()
    (run / REPORT).mkdir()
    with pytest.raises(RunError, match=r"Cannot write .*report\.html"):
        write_report(run)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59.6, "1 min 0 s"), (380.0, "6 min 20 s"), (7265.0, "2 h 1 min 5 s")],
)
def test_durations_are_in_words(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words
