"""The stage that docs/architecture.md adds is added and run: one folder, one row."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import zfnet.experiments
from zfnet.experiments import table
from zfnet.experiments.config import with_sections
from zfnet.running import runner

PAGE = Path(__file__).parents[1] / "docs" / "architecture.md"
EXAMPLE = re.compile(r"<!-- example: (\S+) -->\n```python\n(.*?)```", re.S)


def test_the_worked_example_adds_a_stage(tmp_path, monkeypatch, picture_folder):
    package = tmp_path / "experiments"
    for name, code in EXAMPLE.findall(PAGE.read_text(encoding="utf-8")):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(code, encoding="utf-8")
    assert sorted(path.name for path in (package / "brightness").iterdir()) == ["options.py", "stage.py"]
    monkeypatch.setattr(zfnet.experiments, "__path__", [*zfnet.experiments.__path__, str(package)])

    from zfnet.experiments.brightness.stage import BRIGHTNESS  # type: ignore[import-not-found]

    monkeypatch.setitem(table.STAGES, "brightness", BRIGHTNESS)
    stages = [stage for stage in table.STAGES.values() if stage.options]
    config = with_sections({stage.name: stage.options for stage in stages})()
    config.data = replace(config.data, source="folder", root=str(picture_folder), size=36)
    config.model = replace(config.model, width=0.125, init="he")
    config.train = replace(config.train, epochs=1, batch=6, reference_batch=6, divisor=64.0, snapshots=[])
    config.paths = replace(config.paths, outputs=str(tmp_path / "outputs"))
    config.wandb = replace(config.wandb, mode="disabled")
    config.stage, config.brightness.n_images = "brightness", 5
    runner.run(config, "")
    result = json.loads((tmp_path / "outputs/menagerie/brightness/result.json").read_text())
    assert sum(measure["n"] for measure in result["numbers"].values()) == 5
    assert result["config"]["brightness"] == {"n_images": 5}
    for module in [name for name in sys.modules if name.startswith("zfnet.experiments.brightness")]:
        monkeypatch.delitem(sys.modules, module)
