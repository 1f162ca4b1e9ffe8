"""Configs: unknown keys, wrong types, overrides, shipped files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from avatarkit.config import config_folder, dump_config, from_mapping, load_config, parse_overrides
from avatarkit.edit.config import EditConfig
from avatarkit.errors import ConfigError, InputError
from avatarkit.recon.config import LIMITS, ReconConfig


def test_every_shipped_config_loads() -> None:
    files = sorted(config_folder().glob("*.yaml"))
    assert {"recon", "gaussianavatars"} <= {file.stem for file in files}
    for file in files:
        kind = EditConfig if file.stem == "edit" else ReconConfig
        assert isinstance(load_config(kind, file.stem), kind)


def test_the_default_config_says_what_the_code_defaults_to() -> None:
    assert load_config(ReconConfig, "recon") == ReconConfig()
    assert load_config(EditConfig, "edit") == EditConfig()


def test_the_baseline_has_the_published_settings() -> None:
    c = load_config(ReconConfig, "gaussianavatars")
    assert (c.iterations, c.l1, c.dssim, c.position, c.scale) == (600_000, 0.8, 0.2, 0.01, 1.0)
    assert (c.lr_means, c.lr_means_final, c.lr_opacity, c.lr_scales, c.lr_quats) == (5e-3, 5e-5, 0.05, 0.017, 1e-3)
    assert (c.densify_every, c.densify_from, c.densify_gradient, c.reset_every, c.sh_degree) == (
        2000,
        10_000,
        2e-4,
        60_000,
        3,
    )


def test_an_unknown_key_names_the_file_and_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("lr_mean: 1.0\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml: unknown key 'lr_mean'; did you mean 'lr_means'"):
        load_config(ReconConfig, file)


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [("seed", "fast", "--set: 'seed': expected int; got 'fast'"), ("l1", "[1]", "expected float"), ("density", "magic", "one of budget, threshold"),
     ("tune_head", "3", "expected bool"), ("background", "red", "expected a list"), ("batch", "true", "expected int")],
)  # fmt: skip
def test_wrong_values_are_named(key: str, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_config(ReconConfig, "recon", {key: text})


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [("iterations", "0", "setting 'iterations' is 0; expected 1 to 1e"), ("log_every", "0", "expected 1"), ("lr_means", ".nan", "'lr_means' is nan; expected 0 to 10"),
     ("max_splats", "-5", "'max_splats' is -5"), ("label_views", "-1", "expected 0"), ("minutes", ".inf", "'minutes' is inf"), ("seed", "-1", "'seed' is -1"),
     ("background", "[0, 0, 2]", "three numbers from 0 to 1"), ("background", "[1]", "three numbers"), ("sh_degree", "7", "expected 0 to 3")],
)  # fmt: skip
def test_values_out_of_range_are_named(key: str, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_config(ReconConfig, "recon", {key: text})


def test_every_number_has_its_range() -> None:
    numbers = {
        field.name
        for field in dataclasses.fields(ReconConfig)
        if "int" in str(field.type) or "float" in str(field.type)
    }
    assert {name for name in numbers if not name.startswith("lr_")} == {*LIMITS, "background"}


def test_overrides_win_and_exponents_are_numbers() -> None:
    config = load_config(ReconConfig, "recon", parse_overrides(["lr_means=1e-3", "minutes=2", "background=[0, 0, 0]"]))
    assert (config.lr_means, config.minutes, config.background) == (1e-3, 2.0, (0.0, 0.0, 0.0))


def test_an_unknown_config_and_a_missing_file_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown config 'recn'; did you mean 'recon'"):
        load_config(ReconConfig, "recn")
    with pytest.raises(InputError, match="no such file"):
        load_config(ReconConfig, tmp_path / "none.yaml")


@pytest.mark.parametrize("text", ["- 1\n- 2\n", "a: [", "!!python/object/apply:os.system ['true']"])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"bad\.yaml"):
        load_config(ReconConfig, file)
    file.write_bytes(b"l1: \xff")
    with pytest.raises(ConfigError, match=r"bad\.yaml: not text in UTF-8"):
        load_config(ReconConfig, file)


def test_a_dumped_config_reads_back_equal(tmp_path: Path) -> None:
    config = dataclasses.replace(ReconConfig(), seed=7, minutes=1.5)
    dump_config(config, tmp_path / "c.yaml")
    assert load_config(ReconConfig, tmp_path / "c.yaml") == config
    assert from_mapping(ReconConfig, yaml.safe_load((tmp_path / "c.yaml").read_text()), "c") == config
