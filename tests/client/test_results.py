"""Answers as tables, pictures and HTML."""

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from vae_client import (
    AnswerWarning,
    CallError,
    Classifications,
    Decodings,
    ElboScores,
    Interpolation,
    Samples,
)
from vae_client.progress import progress_of
from vae_client.results import A, Encodings, LatentGroup, make_answer

FACTS = {"model": np.array("<m>"), "version": np.array(2), "seed": np.array(7)}
NAN = float("nan")


def answer(kind: type[A], n: int, *, names: Any = (), warnings: Any = (), **arrays: Any) -> A:
    names = names or [f"[{i}]" for i in range(n)]
    fields = {name: np.asarray(value) for name, value in arrays.items()}
    return make_answer(kind, FACTS | fields, warnings, names)


def scores(n: int = 2, **more: Any) -> ElboScores:
    values = np.linspace(-3, -1, n)
    return answer(
        ElboScores,
        n,
        elbo_nats=values,
        kl_per_dimension_nats=np.zeros((n, 2)),
        percentile=np.where(values < -2, NAN, 50.0),
        preprocessing=["resize; binarize", *[""] * (n - 1)],
        **more,
    )


class Frame:
    """Stands for pandas, which is not installed where these tests run."""

    def __init__(self, columns: Any, index: Any) -> None:
        self.columns, self.index = columns, index


@pytest.fixture
def pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("pandas")
    module.DataFrame = Frame  # type: ignore[attr-defined]
    module.Index = lambda names, name: (name, names)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pandas", module)


@pytest.mark.usefixtures("pandas")
def test_a_table_has_a_row_for_each_item_and_a_column_for_each_number() -> None:
    frame = scores().to_pandas()
    assert frame.index == ("name", ("[0]", "[1]"))
    assert frame.columns == {
        "elbo_nats": [-3.0, -1.0],
        "kl_per_dimension_nats_0": [0.0, 0.0],
        "kl_per_dimension_nats_1": [0.0, 0.0],
        "percentile": [None, 50.0],
        "preprocessing": ["resize; binarize", ""],
    }


@pytest.mark.usefixtures("pandas")
def test_a_table_of_pictures_leaves_out_the_pixels_and_labels_name_their_probabilities() -> None:
    pictures = answer(Samples, 2, images=np.zeros((2, 1, 3, 3)), latents=np.ones((2, 2)))
    assert list(pictures.to_pandas().columns) == ["latents_0", "latents_1"]
    path = answer(Interpolation, 3, latents=np.ones((3, 1)), preprocessing=["", ""])
    assert list(path.to_pandas().columns) == ["latents_0"]
    classes = answer(Classifications, 1, labels=["cat", "dog"], probabilities=[[0.2, 0.8]])
    assert classes.labels == ("cat", "dog")
    assert classes.to_pandas().columns == {"probabilities_cat": [0.2], "probabilities_dog": [0.8]}


def test_a_table_without_pandas_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(CallError, match="Run pip install pandas"):
        scores().to_pandas()


def test_a_real_table_is_what_pandas_makes_of_it() -> None:
    pytest.importorskip("pandas")
    frame = scores().to_pandas()
    assert frame.loc["[1]", "elbo_nats"] == -1


def test_steps_and_layers_are_read() -> None:
    assert scores().preprocessing == (("resize", "binarize"), ())
    groups = '[{"name": "z1", "start": 0, "stop": 2, "shape": [2]}]'
    encoded = answer(Encodings, 1, mean=[[0.0]], groups=groups, label_used=["1"], mean_kind="x")
    assert encoded.groups == (LatentGroup("z1", 0, 2, (2,)),)
    assert encoded.label_used == ("1",)
    assert encoded.samples is None


def test_logits_are_no_pictures() -> None:
    decoded = answer(Decodings, 2, logits=np.zeros((2, 1, 3, 3)), output="logits")
    assert decoded.logits is not None
    assert decoded.images.shape == (0, 1, 3, 3)
    assert decoded.to_pil() == []


def test_html_of_scores_names_the_bound_and_escapes_what_others_wrote() -> None:
    doubt = AnswerWarning("constant", "<all> & black", 1)
    whole = AnswerWarning("axes_guessed", "guessed", None)
    html = scores(names=["<a>.png", "b.png"], warnings=[doubt, whole])._repr_html_()
    assert "elbo_nats is a lower bound on log p(x), in nats" in html
    assert "<td>&lt;a&gt;.png</td><td>-3</td>" in html
    assert "<li>b.png: &lt;all&gt; &amp; black</li><li>guessed</li>" in html
    assert "model &#x27;&lt;m&gt;&#x27; 2, seed 7, 2 warnings" in html
    assert "<m>" not in html
    assert "http" not in html


def test_html_of_many_shows_some_and_counts_the_rest() -> None:
    doubts = [AnswerWarning("constant", "plain", i) for i in range(12)]
    html = scores(30, warnings=doubts)._repr_html_()
    assert html.count("<tr>") == 21
    assert "<p>10 more rows</p>" in html
    assert "<li>2 more</li>" in html
    wide = answer(Encodings, 1, mean=np.zeros((1, 20)), mean_kind="posterior")
    assert "<p>5 more columns</p>" in wide._repr_html_()


def test_html_of_pictures_holds_them() -> None:
    names = [f'"{i}' for i in range(70)]
    html = answer(Samples, 70, names=names, images=np.zeros((70, 1, 3, 3)))._repr_html_()
    assert html.count('<img src="data:image/png;base64,iVBOR') == 64
    assert "<p>6 more pictures</p>" in html
    assert 'title="&quot;3"' in html


def test_progress_is_shown_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress_of("elbo", 3, asked=False) as show:
        show(3)
    assert capsys.readouterr() == ("", "")
    with progress_of("elbo", 3, asked=True) as show:
        show(3)
    assert "elbo" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    for total in (1234, None):
        with progress_of("elbo", total, asked=True) as show:
            show(3)
    assert capsys.readouterr().err == "\relbo: 3 of 1,234\n\relbo: 3\n"
