"""Times t-SNE against scikit-learn, openTSNE and tsne-h2pack, and measures what all made.

    python benchmarks/tsne.py
    python benchmarks/tsne.py --sizes 1797 --peers opentsne
    python benchmarks/tsne.py --sizes --scaling

Points are the digits of scikit-learn, or a mixture of 20 normal distributions in 50 dimensions. All
run 1,000 steps with perplexity 30 on all cores, each in a process of its own, one after the other;
imports are not counted. Ours also runs as many steps as it takes to the divergence that tsne-h2pack
ends with. "first" is the first call, which compiles; "second" another call in the
same process; "cached" the first call of another process, which finds what was compiled on the disk.
The divergence is computed in float64, of probabilities of exact neighbors that are the same for
all, by code that has nothing from here. Peers that are not installed are left out.

`--scaling` times steps of larger embeddings, at the beginning, when points are close together, and
at the end, when they fill a disk as densely as 70,000 do; neighbors are searched in each of the
20 clusters, which lie far apart, and the time of a search among all points is that of a sample.
"""

import dataclasses
import importlib.util
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from tables import Common, Table, launch

Peer = Literal["sklearn", "opentsne", "h2pack"]
PACKAGES: dict[Peer, str] = {"sklearn": "sklearn", "opentsne": "openTSNE", "h2pack": "tsne_h2pack"}
PERPLEXITY, STEPS, CLUSTERS = 30, 1000, 20
FEWER_STEPS = {10_000: 600, 70_000: 700}
"""Steps in which ours reaches the divergence of tsne-h2pack, by the number of points."""

COLUMNS = {
    "contender": "",
    "points": ",d",
    **dict.fromkeys(("first s", "second s", "cached s", "peak GB"), ".2f"),
    "KL": ".4f",
    "10-NN kept": ".3f",
    "span": ".0f",
    "first / ours": ".2f",
}


@dataclasses.dataclass(frozen=True)
class Settings(Common):
    """Settings of the measurement."""

    sizes: tuple[int, ...] = (1_797, 10_000, 70_000)
    """Numbers of points; 1797 takes the digits."""
    peers: tuple[Peer, ...] = ("opentsne", "h2pack", "sklearn")
    """What to compare with."""
    scaling: bool = False
    """Whether to time steps of embeddings of up to a million points."""
    scaling_sizes: tuple[int, ...] = (10_000, 70_000, 300_000, 1_000_000)
    """How many points those have."""

    TOY: ClassVar[Mapping[str, Any]] = {
        "sizes": (200,), "peers": (), "scaling": True, "scaling_sizes": (4_000,)
    }  # fmt: skip


def main(settings: Settings) -> list[Table]:
    """Measures embeddings, and steps of larger ones."""
    table = Table("embeddings", COLUMNS)
    for size in settings.sizes:
        compare(size, settings, table)
    found = [table] if settings.sizes else []
    if settings.scaling:
        from tsne_scaling import scaling_table

        found.append(scaling_table(settings.scaling_sizes))
    return found


def compare(size: int, settings: Settings, table: Table) -> None:
    """Runs all contenders on as many points, and adds a row for each."""
    import embedding_quality

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        points = draw_points(size)
        np.save(folder / "points.npy", points)
        joint = embedding_quality.probabilities(points, PERPLEXITY)
        found = {"ours": run_alone("ours", folder)}
        found["ours"]["cached"] = run_alone("ours", folder)["first"]
        if size in FEWER_STEPS:
            steps = FEWER_STEPS[size]
            found[f"ours, {steps} steps"] = run_alone("ours", folder, steps)
        for peer in settings.peers:
            if importlib.util.find_spec(PACKAGES[peer]) is None:
                continue
            found[peer] = run_alone(peer, folder)
        for contender, times in found.items():
            embedding = np.load(times["embedding"])
            table.add(
                contender,
                size,
                *(times.get(call) for call in ("first", "second", "cached", "peak")),
                embedding_quality.divergence(joint, embedding),
                embedding_quality.kept(points, embedding),
                float(np.ptp(embedding, axis=0).max()),
                times["first"] / found["ours"]["first"],
            )


def draw_points(size: int) -> np.ndarray:
    """The digits, or points around centers, each with ten directions of its own."""
    if size == 1_797:
        from sklearn.datasets import load_digits

        return load_digits().data.astype(np.float32)
    return draw_mixture(size)[0]


def draw_mixture(size: int, spread: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Points around centers, each with ten directions of its own; and which center each has."""
    rng = np.random.default_rng(0)
    centers = rng.normal(0, spread, (CLUSTERS, 50))
    owners = rng.integers(CLUSTERS, size=size)
    directions = rng.normal(0, 0.6, (CLUSTERS, 10, 50))
    points = centers[owners] + rng.normal(0, 0.5, (size, 50))
    along = rng.normal(size=(size, 10))
    for cluster in range(CLUSTERS):
        points[owners == cluster] += along[owners == cluster] @ directions[cluster]
    return points.astype(np.float32), owners


def run_alone(contender: str, folder: pathlib.Path, steps: int = STEPS) -> dict[str, Any]:
    """Runs a contender in a process of its own."""
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(folder / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    code = "import sys, tsne; tsne.contend(*sys.argv[1:])"
    subprocess.run(
        [sys.executable, "-c", code, contender, str(folder), str(steps)],
        env=os.environ | cache,
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=pathlib.Path(__file__).parent,
    )
    content: dict[str, Any] = json.loads((folder / f"{contender}{steps}.json").read_text())
    return content


def contend(contender: str, name: str, steps: str) -> None:
    """Embeds the points in a folder, twice where a second call may be faster."""
    folder = pathlib.Path(name)
    points = np.load(folder / "points.npy")
    embed = CONTENDERS[contender](int(steps))
    seconds: dict[str, float] = {}
    for call in ("first", "second"):
        began = time.perf_counter()
        embedding = embed(points)
        seconds[call] = time.perf_counter() - began
        if contender in ("sklearn", "opentsne"):
            break
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    place = folder / f"{contender}{steps}.npy"
    np.save(place, embedding)
    content = {**seconds, "peak": peak, "embedding": str(place)}
    place.with_suffix(".json").write_text(json.dumps(content))


def ours(steps: int) -> Callable[[np.ndarray], np.ndarray]:
    import jax

    from jaxvision import manifold

    def embed(points: np.ndarray) -> np.ndarray:
        found = manifold.tsne(points, key=jax.random.key(0), perplexity=PERPLEXITY, num_steps=steps)
        return np.asarray(found.embedding)

    return embed


def sklearn(steps: int) -> Callable[[np.ndarray], np.ndarray]:
    from sklearn.manifold import TSNE

    return TSNE(perplexity=PERPLEXITY, max_iter=steps, n_jobs=-1, random_state=0).fit_transform


def opentsne(steps: int) -> Callable[[np.ndarray], np.ndarray]:
    import openTSNE

    model = openTSNE.TSNE(
        perplexity=PERPLEXITY, n_iter=steps - 250, n_jobs=os.cpu_count(), random_state=0
    )
    return lambda points: np.asarray(model.fit(points))


def h2pack(steps: int) -> Callable[[np.ndarray], np.ndarray]:
    from tsne_h2pack import TSNE

    model = TSNE(
        perplexity=PERPLEXITY,
        max_iter=steps,
        knn_method="exact",
        n_jobs=os.cpu_count(),
        random_state=0,
    )
    return model.fit_transform


CONTENDERS = {"ours": ours, "sklearn": sklearn, "opentsne": opentsne, "h2pack": h2pack}


if __name__ == "__main__":
    launch("tsne", main, Settings, __doc__, ("openTSNE", "tsne-h2pack", "scikit-learn"))
