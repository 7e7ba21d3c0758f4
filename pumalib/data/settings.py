"""Settings of datasets and synthetic sets. Imports neither torch nor image libraries."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pumalib.data.guidance_settings import GuidanceSettings
from pumalib.settings import Amount, Name, Settings, is_none

TORCHVISION_SHAPES: dict[str, tuple[tuple[int, int, int], int]] = {
    "mnist": ((28, 28, 1), 10),
    "fashion_mnist": ((28, 28, 1), 10),
    "cifar10": ((32, 32, 3), 10),
    "cifar100": ((32, 32, 3), 100),
    "svhn": ((32, 32, 3), 10),
}


class _Splits(Settings):
    """How a dataset is divided. Every division is stratified by class and seeded."""

    split: Literal["official", "seeded"] = "official"
    """`official`: the source's own test split. `seeded`: a new one for each seed of the study."""

    test_fraction: float = Field(default=0.0, ge=0, lt=1)
    """Share of all rows drawn as the test split; only with `split: seeded`."""

    validation_fraction: float = Field(default=0.0, ge=0, lt=1)
    """Share of the train rows held out for validation: never in a pool, a generator or a margin model."""

    held_out_fraction: float = Field(default=0.0, ge=0, lt=1)
    """Share of the train rows set aside as a perfect "synthetic" set (`synthetic: {method: held_out}`)."""

    train_count: int | None = Field(default=None, gt=0)
    """Keep this many train rows (after validation and held-out rows are taken); none: all."""

    train_rows: Literal["shared", "disjoint"] = "shared"
    """`disjoint`: each seed of the study has `train_count` train rows of its own, seed 0 the first ones of a fixed
    order, seed 1 the next; only with `split: official`. Validation, held-out and test rows are those of all seeds."""

    test_count: int | None = Field(default=None, gt=0)
    """Keep this many test rows; none: all."""

    split_seed: int = Field(default=0, ge=0)
    """Seed of the divisions of an official split (a seeded split uses the study's seed instead)."""

    @model_validator(mode="after")
    def _check_split(self) -> _Splits:
        if self.split == "seeded" and self.test_fraction == 0:
            raise ValueError("expected test_fraction above 0 with split: seeded, got 0")
        if self.split == "official" and self.test_fraction > 0:
            raise ValueError("expected no test_fraction with split: official, which has a test split of its own")
        if self.train_rows == "disjoint" and (self.split != "official" or self.train_count is None):
            raise ValueError("expected train_rows: disjoint only with split: official and a train_count")
        if self.validation_fraction + self.held_out_fraction >= 1:
            raise ValueError("expected validation_fraction + held_out_fraction below 1: no train rows would stay")
        return self

    @property
    def is_seeded(self) -> bool:
        """Whether each seed of the study has a test split of its own."""
        return self.split == "seeded"

    @property
    def has_file_of_each_seed(self) -> bool:
        """Whether each seed of the study has a file of its own."""
        return self.is_seeded or self.train_rows == "disjoint"


class DigitsSettings(_Splits):
    """scikit-learn's 1,797 bundled 8x8 grey digits (no official test split)."""

    source: Literal["digits"] = "digits"

    @model_validator(mode="after")
    def _needs_seeded(self) -> DigitsSettings:
        if not self.is_seeded:
            raise ValueError("expected split: seeded for digits, which have no official test split")
        return self


class TorchvisionSettings(_Splits):
    """A dataset that torchvision downloads, or finds in the study's `data_dir`."""

    source: Literal["mnist", "fashion_mnist", "cifar10", "cifar100", "svhn"]
    """Which dataset."""


class Cifar10FilesSettings(_Splits):
    """CIFAR-10's own files, in a folder of yours: nothing is downloaded."""

    source: Literal["cifar10_files"]
    path: str
    """The folder with `data_batch_1` to `data_batch_5`, `test_batch` and `batches.meta`: CIFAR-10's Python version."""
    published: bool = True
    """Whether they must be the published files, by their MD5 digests; false: any files of their form."""


class ClassTreeSettings(Settings):
    """Groups of classes as the classes: a tree of classes is divided from the top until groups are of similar size.

    Example:
        >>> ClassTreeSettings(tree="is_a.txt", groups=16).largest
        5.0
    """

    tree: str
    """Path of the tree: a file with a parent and its child on each line, as WordNet's `is_a.txt`."""
    groups: int = Field(ge=2)
    """How many groups are wanted. There may be more, because a division makes several at once."""
    largest: float = Field(default=5.0, ge=1, le=1e9)
    """The largest group has at most this many times the images of the smallest. Smaller groups are left out."""
    words: str | None = None
    """Path of names for people: a file with a node of the tree, a tab and its names on each line; none: groups have
    the names of their nodes."""


class _GroupedSplits(_Splits):
    """A dataset whose classes may be put in groups."""

    classes: ClassTreeSettings | None = None
    """Groups of classes, found in a tree, as the classes of the dataset; none: the classes as they come."""

    @property
    def class_files(self) -> tuple[str, ...]:
        """Return the user's own files that the groups are found by."""
        if self.classes is None:
            return ()
        return (self.classes.tree,) if self.classes.words is None else (self.classes.tree, self.classes.words)


class FileOptions(Settings):
    """How image files are read and kept."""

    path: str
    """The folder, or a tar file that is not compressed."""
    fit: Literal["crop", "pad", "stretch"] = "crop"
    """How images that are not square become so: the shorter side fits and the centre is cut out (the log says how much
    was cut); the longer side fits and the rest is `background`; or both sides fit."""
    background: Literal["black", "white"] | None = None
    """What is behind transparent pixels, and beside images with `fit: pad`; none: transparent images are refused, and
    black is beside others."""
    enlarge: bool = False
    """Whether images smaller than `image_size` are enlarged; else they are refused."""
    storage: Literal["encoded", "decoded"] | None = None
    """`encoded`: the bytes of the files are kept (JPEG, PNG, WebP), and each is decoded when it is looked at;
    `decoded`: pixels are. None: pixels, unless they are over 1 GiB and take more room than the files; the log says
    which. Results are the same, bit by bit."""


class ImageFilesSettings(FileOptions, _GroupedSplits):
    """Images that are files, in a folder or a tar file."""

    image_size: int = Field(gt=0, le=4096)
    """Height and width that images are resized to, in pixels."""
    channels: Literal[1, 3] = 3
    """1 for grey, 3 for RGB."""
    skip_unreadable: bool = False
    """Whether images that cannot be read are left out, counted and listed; else the first one is an error."""


class FolderSettings(ImageFilesSettings):
    """An image folder: `path/train/<class>/*` and `path/test/<class>/*`, or `path/<class>/*` with a seeded split."""

    source: Literal["folder"] = "folder"


class TinyImagenetSettings(ImageFilesSettings):
    """Tiny-ImageNet (Le & Yang 2015) in its own layout: `train/<class>/images/*`, and `val/images/*` as the test split.

    The classes are named by their WordNet numbers, in the order of `wnids.txt`.
    """

    source: Literal["tiny_imagenet"] = "tiny_imagenet"
    image_size: int = Field(default=64, gt=0, le=4096)
    """Height and width that images are resized to, in pixels; they are of 64."""


class NpzDatasetSettings(_Splits):
    """npz files with `image` (uint8 [N, H, W, C]) and `label` (int64 [N])."""

    source: Literal["npz"] = "npz"
    train: str
    """Path of the train file."""
    test: str | None = None
    """Path of the test file; needed by an official split."""
    class_names: tuple[str, ...] | None = None
    """Names of the classes, in label order; none: the labels themselves."""

    @model_validator(mode="after")
    def _check_class_names(self) -> NpzDatasetSettings:
        names = self.class_names or ()
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated or not all(name.strip() for name in names):
            raise ValueError(
                f"expected class_names that tell classes apart, got {', '.join(repeated) or 'an empty one'}"
            )
        return self

    @model_validator(mode="after")
    def _needs_test(self) -> NpzDatasetSettings:
        if self.test is None and not self.is_seeded:
            raise ValueError("expected a test file, or split: seeded")
        return self


DatasetSettings = Annotated[
    DigitsSettings
    | TorchvisionSettings
    | Cifar10FilesSettings
    | FolderSettings
    | TinyImagenetSettings
    | NpzDatasetSettings,
    Field(discriminator="source"),
]


class _SyntheticSettings(Settings):
    label_noise: float = Field(default=0.0, ge=0, lt=1)
    """Share of the rows that get a wrong label on purpose, to see what a generator's mistakes cost."""


class NpzSyntheticSettings(_SyntheticSettings):
    """A published set of generated images: a stratified, seeded subset of an npz file."""

    method: Literal["npz"] = "npz"
    path: str
    """npz file with `image` (uint8 [N, H, W, C]) and `label` (int64 [N]); sorted by class is fine."""
    count: int | None = Field(default=None, gt=0)
    """Rows to take, in proportion to the classes; none: all."""
    subset_seed: int = Field(default=0, ge=0)
    """Seed of the subset."""


class FolderSyntheticSettings(FileOptions, _SyntheticSettings):
    """Generated images as files: `path/<class>/*`, with the class names of the dataset, whose size they get."""

    method: Literal["folder"] = "folder"
    count: int | None = Field(default=None, gt=0)
    """Rows to take, in proportion to the classes; none: all. The others are not read."""
    subset_seed: int = Field(default=0, ge=0)
    """Seed of the subset."""


class HeldOutSyntheticSettings(_SyntheticSettings):
    """Real rows of the dataset's `held_out_fraction`, used as if they were generated: a perfect generator."""

    method: Literal["held_out"] = "held_out"
    count: int | None = Field(default=None, gt=0)
    """Rows to take, in proportion to the classes; none: all."""
    subset_seed: int = Field(default=0, ge=0)
    """Seed of the subset."""


class AskedMarginSettings(Settings):
    """The margins that samples of a generator are asked to have; the generator must have been trained with margins."""

    above: Amount | None = None
    """Smallest margin that is asked for, pixel scale; none: no bound."""
    below: Amount | None = None
    """Margin below which all that are asked for lie, pixel scale; none: no bound."""
    weight: float = Field(default=1.0, ge=0)
    """Weight w of classifier-free guidance (Ho & Salimans 2022): the denoiser is `D_none + w (D_margin - D_none)`. 1:
    the one that knows the margin; above 1: exaggerated, for twice the time; 0: the one that does not know it."""

    @model_validator(mode="after")
    def _check_range(self) -> AskedMarginSettings:
        if self.above is not None and self.below is not None and self.above >= self.below:
            raise ValueError(f"expected above to be less than below ({self.below:g}), got {self.above:g}")
        return self

    @property
    def spelled(self) -> str:
        """The range in words."""
        bounds = [f"at least {self.above:g}"] if self.above is not None else []
        bounds += [f"below {self.below:g}"] if self.below is not None else []
        return " and ".join(bounds) or "any"


class GeneratedSyntheticSettings(_SyntheticSettings):
    """Samples of a generator of this study, one seed per sample, classes in equal numbers."""

    method: Literal["generator"] = "generator"
    generator: Name
    """Name under `generators`."""
    count: int = Field(gt=0)
    """Rows to sample."""
    margin: AskedMarginSettings | None = Field(default=None, exclude_if=is_none)
    """Margins to ask for, of a generator with `margin`; none: samples as if it knew no margin."""
    guidance: GuidanceSettings | None = Field(default=None, exclude_if=is_none)
    """A model that guides the sampling; none: the generator samples alone."""


SyntheticSettings = Annotated[
    NpzSyntheticSettings | FolderSyntheticSettings | HeldOutSyntheticSettings | GeneratedSyntheticSettings,
    Field(discriminator="method"),
]


def class_tree_of(dataset: DatasetSettings) -> ClassTreeSettings | None:
    """Return how a dataset's classes are put in groups; None: they are not."""
    return dataset.classes if isinstance(dataset, _GroupedSplits) else None


CLASS_GROUPS_MODULE = "pumalib.data.grouped_classes"
"""The module that puts classes in groups, which only the datasets depend on that ask for it."""


def source_module(source: str) -> str:
    """Return the module that loads a source, by convention."""
    name = "torchvision_datasets" if source in TORCHVISION_SHAPES else source
    return f"pumalib.data.sources.{name}"
