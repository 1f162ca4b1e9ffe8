"""The built-in plugin: what avatarkit itself provides, as records like any other plugin's."""

from __future__ import annotations

from collections.abc import Iterable

from avatarkit.hookspecs import Check, Provider, hookimpl


@hookimpl
def avatarkit_rasterizers() -> Iterable[Provider]:
    yield Provider("cpu", "avatarkit.render.cpu:CpuRasterizer", "SIMD tiles on the CPU; needs no GPU and no compiler")
    yield Provider("reference", "avatarkit.render.reference:ReferenceRasterizer", "float64 oracle in plain torch; slow")


@hookimpl
def avatarkit_head_models() -> Iterable[Provider]:
    yield Provider("bust", "avatarkit.head.bust:BustModel", "head and shoulders made by code, free of licences")
    yield Provider(
        "flame",
        "avatarkit.head.loading:registered_flame",
        "FLAME from your own licensed file",
        install_hint="avatarkit assets add flame FILE",
        licence="Apache-2.0; the model file has its own licence",
    )


@hookimpl
def avatarkit_trackers() -> Iterable[Provider]:
    yield Provider(
        "photometric",
        "avatarkit.track.photometric_tracking:PhotometricTracker",
        "aligns the pictures themselves, from a landmark tracker's answer or given parameters",
        config="avatarkit.track.photometric_options:PhotometricConfig",
        install_hint="pip install avatarkit-mediapipe",
    )


@hookimpl
def avatarkit_segmenters() -> Iterable[Provider]:
    yield Provider(
        "head-regions",
        "avatarkit.segment.head_regions:HeadRegions",
        "region masks of the head model; hair above and cloth below where the matte has more",
    )


@hookimpl
def avatarkit_editors() -> Iterable[Provider]:
    yield Provider(
        "paint",
        "avatarkit.edit.paint.painter:Paint",
        "makeup, decals, colours, materials and drawing styles by code; needs no weights and no GPU",
    )


@hookimpl
def avatarkit_refiners() -> Iterable[Provider]:
    yield Provider("rules", "avatarkit.edit.rules:RulesRefiner", "plans by a lexicon; needs no model, key or network")


@hookimpl
def avatarkit_exporters() -> Iterable[Provider]:
    yield Provider(
        "ply", "avatarkit.gaussians.exporters:PlyExporter", "one pose as a splat in the world, for any splat viewer"
    )
    yield Provider(
        "gaussianavatars",
        "avatarkit.gaussians.exporters:TrainedFolderExporter",
        "a trained GaussianAvatars folder: point_cloud.ply on triangles, flame_param.npz",
    )


@hookimpl
def avatarkit_checks() -> Iterable[Check]:
    from avatarkit import machine

    yield Check("python", machine.python)
    yield Check("torch", machine.torch_build)
    yield Check("gpu", machine.gpu)
    yield Check("cuda compiler", machine.cuda_compiler)
    yield Check("cpu lanes", machine.cpu_lanes)
    yield Check("numba cache", machine.numba_cache)
    yield Check("video", machine.video)
    yield Check("assets", machine.assets)
    yield Check("home", machine.home_folder)
