"""Random subsets: without repeats, repeatable, a smaller one a prefix of a larger one."""

from training.data.subset import choose_subset


def test_subset_is_random_without_repeats_and_a_prefix_of_a_larger_one() -> None:
    small, large = choose_subset(1000, 10, seed=0), choose_subset(1000, 50, seed=0)
    assert small.tolist() == large[:10].tolist()
    assert len(set(large.tolist())) == 50
    assert large.tolist() != sorted(large.tolist())
    assert choose_subset(1000, 10, seed=1).tolist() != small.tolist()


def test_subset_of_all_images_has_all_of_them() -> None:
    assert sorted(choose_subset(7, 1000, seed=0).tolist()) == list(range(7))
