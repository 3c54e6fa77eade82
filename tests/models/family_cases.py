"""Configs of every family, small, for the tests that hold for all of them."""

from models.vae_config import VAEConfig

NETWORK = {"kind": "mlp", "hidden": [16]}
CONV = {"kind": "conv", "channels": [6], "blocks": [1]}
GROUPED = {"latent_shape": (5,), "latent_groups": [(3,), (2,)]}
TOP_DOWN = {"kind": "top_down", "network": NETWORK}

FAMILIES = {
    "standard": {},
    "mixture": {"prior": {"kind": "mixture", "num_components": 3}},
    "vamp": {"prior": {"kind": "vamp", "num_components": 4}},
    "full": {"posterior": {"kind": "full_normal"}},
    "full-mixture": {
        "posterior": {"kind": "full_normal"},
        "prior": {"kind": "mixture", "num_components": 3},
    },
    "two-layers": {
        **GROUPED,
        "prior": TOP_DOWN,
        "posterior": {"kind": "bottom_up", "network": NETWORK},
    },
    "ladder": {
        **GROUPED,
        "prior": TOP_DOWN,
        "posterior": {"kind": "ladder", "network": NETWORK},
    },
    "conv-ladder": {
        "latent_shape": (10,),
        "latent_groups": [(2, 2, 2), (2,)],
        "prior": TOP_DOWN,
        "posterior": {"kind": "ladder", "network": NETWORK},
        "encoder": CONV,
        "decoder": CONV,
    },
    "m2": {"num_labels": 3, "classifier": NETWORK},
    "labelled": {"num_labels": 3},
    "label-prior": {"num_labels": 3, "prior": {"kind": "label_normal"}},
    "labelled-ladder": {
        **GROUPED,
        "num_labels": 3,
        "prior": TOP_DOWN,
        "posterior": {"kind": "ladder", "network": NETWORK},
    },
    "categorical": {
        "prior": {"kind": "categorical"},
        "posterior": {"kind": "enumerated"},
        "encoder": None,
    },
    "autoencoder": {
        "prior": {"kind": "none"},
        "posterior": {"kind": "point"},
        "likelihood": {"kind": "point"},
    },
}


def family(name: str, **fields: object) -> VAEConfig:
    """The config of a family for 4x4 binary pictures (or what `fields` says)."""
    defaults: dict[str, object] = {
        "image_shape": (1, 4, 4),
        "latent_shape": (2,),
        "likelihood": {"kind": "bernoulli"},
        "encoder": NETWORK,
        "decoder": NETWORK,
    }
    return VAEConfig.model_validate({**defaults, **FAMILIES[name], **fields})
