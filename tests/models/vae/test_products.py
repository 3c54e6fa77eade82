import pytest
import torch
from torch.nn import functional as F

from models.vae import products
from models.vae.products import affine, onednn_is_faster

needs_onednn = pytest.mark.skipif(
    not hasattr(torch.ops.mkldnn, "_linear_pointwise"), reason="this torch has no oneDNN"
)


@pytest.fixture
def with_onednn(monkeypatch):
    monkeypatch.setattr(products, "onednn_is_faster", lambda: True)


def leaves(*shapes, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(s, generator=generator).to(dtype).requires_grad_() for s in shapes]


@needs_onednn
@pytest.mark.parametrize("has_bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("size", [(1, 3, 2), (7, 13, 5), (100, 784, 200)], ids=str)
def test_values_and_gradients_are_those_of_a_product_in_float64(with_onednn, size, has_bias):
    rows, inputs, outputs = size
    given = leaves((rows, inputs), (outputs, inputs), (outputs,))
    exact = [leaf.detach().double().requires_grad_() for leaf in given]
    slope = torch.randn(rows, outputs, generator=torch.Generator().manual_seed(2))
    found = affine(given[0], given[1], given[2] if has_bias else None)
    wanted = F.linear(exact[0], exact[1], exact[2] if has_bias else None)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-4)
    found.backward(slope)
    wanted.backward(slope.double())
    for ours, theirs in zip(given[: 2 + has_bias], exact, strict=False):
        torch.testing.assert_close(ours.grad.double(), theirs.grad, rtol=1e-5, atol=1e-4)


@needs_onednn
@pytest.mark.parametrize("wanted", [0, 1, 2])
def test_only_the_gradients_that_are_asked_for_are_made(with_onednn, wanted):
    given = leaves((4, 3), (2, 3), (2,))
    for i, leaf in enumerate(given):
        leaf.requires_grad_(i == wanted)
    affine(*given).sum().backward()
    assert [leaf.grad is not None for leaf in given] == [i == wanted for i in range(3)]


@needs_onednn
def test_both_libraries_round_alike_but_not_the_same_way(with_onednn, monkeypatch):
    given = leaves((64, 784), (200, 784), (200,))
    with torch.no_grad():
        by_onednn = affine(*given)
        monkeypatch.setattr(products, "onednn_is_faster", lambda: False)
        by_torch = affine(*given)
    torch.testing.assert_close(by_onednn, by_torch, rtol=1e-5, atol=1e-4)


@needs_onednn
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("has_bias", [True, False], ids=["bias", "no-bias"])
def test_a_traced_product_has_the_same_bits_for_any_number_of_rows(with_onednn, has_bias):
    weight, bias = (leaf.detach() for leaf in leaves((5, 8), (5,)))

    def product(rows):
        return affine(rows, weight, bias if has_bias else None)

    traced = torch.jit.trace(product, torch.ones(3, 8), check_trace=False)
    for rows in (torch.randn(count, 8, generator=torch.Generator()) for count in (1, 3, 17)):
        assert torch.equal(traced(rows), product(rows))


@needs_onednn
def test_double_precision_no_rows_and_autocast_are_left_to_torch(with_onednn):
    double = leaves((4, 3), (2, 3), (2,), dtype=torch.float64)
    assert torch.equal(affine(*double), F.linear(*double))
    rows, weight, bias = leaves((0, 3), (2, 3), (2,))
    assert affine(rows, weight, bias).shape == (0, 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert affine(*leaves((4, 3), (2, 3), (2,))).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("capability", "info", "is_faster"),
    [
        ("AVX512", "processor : 0\nvendor_id\t: AuthenticAMD\n", True),
        ("AVX512", "processor : 0\nvendor_id\t: GenuineIntel\n", False),
        ("AVX2", "processor : 0\nvendor_id\t: AuthenticAMD\n", False),
        ("AVX512", "", False),
        ("AVX512", None, False),
    ],
)
def test_onednn_is_taken_where_mkl_leaves_out_the_widest_instructions(
    monkeypatch, tmp_path, capability, info, is_faster
):
    file = tmp_path / "cpuinfo"
    if info is not None:
        file.write_text(info)
    monkeypatch.setattr(products, "CPU_INFO", file)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    found = onednn_is_faster.__wrapped__()
    assert found == (is_faster and hasattr(torch.ops.mkldnn, "_linear_pointwise"))
