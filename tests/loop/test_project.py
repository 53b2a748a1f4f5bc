"""`everloop.yaml` is read whole, or refused with file, line, key and the near word."""

from __future__ import annotations

from pathlib import Path

import pytest

from everloop.errors import InvalidError, NotFoundError
from everloop.evaluation import PromotionPolicy
from everloop.loop.project import DatasetSource, Gate, parse_project, policy_digest, read_project
from everloop.monitoring import LOOKS_PER_YEAR

TEXT = """\
project: flights
model: flight-delay
endpoint:
  name: flight-delay
  shadows: [baseline]
  label_delay_days: 1
datasets:
  flights: {path: data/flights, contract: contracts/flights.yaml}
  weather: {path: data/weather, contract: contracts/weather.yaml}
pipeline: {model: model, holdout: holdout.csv, label: late, segments: [origin]}
gates:
  - {metric: auc, at_least: 0.55}
  - {metric: log_loss, against: champion, worse_by_at_most: 0.02}
  - {metric: auc, segment: origin, at_least: 0.5}
monitors:
  drift: {window: day, effect: 0.2}
  decay: {metric: brier, tolerance: 0.03}
promotion: {metric: log_loss, alpha: 0.05, min_pairs: 1000, min_days: 7, max_days: 28}
triggers: {decay: true, max_age_days: 28}
"""


def test_a_project_is_read() -> None:
    project = parse_project(TEXT)
    assert (project.project, project.model, project.endpoint.name) == ("flights", "flight-delay", "flight-delay")
    assert (project.endpoint.shadows, project.endpoint.label_delay_days) == (["baseline"], 1)
    assert project.datasets["weather"] == DatasetSource(path="data/weather", contract="contracts/weather.yaml")
    assert project.gates[0] == Gate(metric="auc", at_least=0.55)
    assert project.promotion == PromotionPolicy(min_pairs=1000, min_days=7, max_days=28)
    assert project.monitors.drift.policy().effect == 0.2
    assert project.monitors.decay.policy().looks == LOOKS_PER_YEAR["week"]
    assert (project.triggers.drift, project.triggers.cooldown_days) == (False, 7)


def test_three_lines_are_enough() -> None:
    project = parse_project("project: a\nmodel: b\nendpoint: {name: c}\n")
    assert (project.gates, project.datasets, project.promotion) == ([], {}, PromotionPolicy())
    assert project.pipeline.model == "model"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        # unknown keys, at every level
        ("triggers:", "trigers:", r":19: .*`trigers`.*\nDid you mean 'triggers'\?"),
        ("label_delay_days", "label_delay", r":6: .*`label_delay` \(at endpoint\)\nDid you mean 'label_delay_days'"),
        ("data/weather, contract", "data/weather, contrct", r":9: .*`contrct`.*\nDid you mean 'contract'"),
        ("segments:", "segment:", r":10: .*`segment` \(at pipeline\)\nDid you mean 'segments'"),
        ("at_least: 0.55", "atleast: 0.55", r":12: .*`atleast` \(at gates\[0\]\)\nDid you mean 'at_least'"),
        ("effect: 0.2", "efect: 0.2", r":16: .*`efect` \(at monitors\.drift\)\nDid you mean 'effect'"),
        ("tolerance", "tolerence", r":17: .*`tolerence` \(at monitors\.decay\)\nDid you mean 'tolerance'"),
        ("min_pairs", "min_pair", r":18: .*`min_pair` \(at promotion\)\nDid you mean 'min_pairs'"),
        ("max_age_days", "max_age", r":19: .*`max_age` \(at triggers\)\nDid you mean 'max_age_days'"),
        # missing and ill-typed values
        ("model: flight-delay\n", "", r":1: .*missing required field `model`"),
        ("project: flights", "project: 3", r":1: Expected `str`, got `int` \(at project\)"),
        ("label_delay_days: 1", "label_delay_days: soon", r":6: Expected `int`, got `str`"),
        ("label_delay_days: 1", "label_delay_days: -1", r":6: Expected `int` >= 0"),
        ("decay: true", "decay: yes", r":19: Expected `bool`, got `str` \(at triggers\.decay\)"),
        ("window: day", "window: month", r":16: Invalid enum value 'month'"),
        ("metric: auc, at", "metric: ROC, at", r":12: Invalid enum value 'ROC' \(at gates\[0\]\.metric\)"),
        ("effect: 0.2", "effect: 2", r":16: Expected `float` <= 1\.0"),
        ("gates:", "gates: {}\nx:", r":11: Expected `array`, got `object` \(at gates\)"),
        ("[origin]", "origin", r":10: Expected `array`, got `str`"),
        # gates that make no sense
        ("at_least: 0.55", "at_least: 0.55, at_most: 0.9", r"gates\[0\]: give exactly one of .* found 2"),
        ("at_least: 0.55", "segment: origin", r"gates\[0\]: give exactly one of .* found 0"),
        (", worse_by_at_most: 0.02", "", r"gates\[1\]: `against: champion` needs `worse_by_at_most`"),
        ("against: champion, ", "at_most: 1, ", r"gates\[1\]: `worse_by_at_most` needs `against: champion`"),
        ("segment: origin", "segment: carrier", r"gates\[2\]: segment 'carrier' is not among.*\n.*are: origin"),
        ("against: champion", "against: champion, segment: origin", r"gates\[1\]: .*take `segment` away"),
        # paths that leave the project, and folders that would overwrite one another
        ("path: data/flights", "path: ../flights", r"datasets\.flights\.path: '\.\./flights' is not a path inside"),
        ("path: data/flights", "path: /data", r"datasets\.flights\.path: '/data' is not a path inside"),
        ("path: data/flights", "path: .", r"datasets\.flights\.path: '\.' is not a path inside"),
        ("path: data/flights", 'path: "a\\0"', r"datasets\.flights\.path: .* is not a path inside"),
        ("contracts/flights", "/etc/passwd", r"datasets\.flights\.contract: .* is not a path inside"),
        ("{model: model,", "{model: a/../../b,", r"pipeline\.model: .* is not a path inside"),
        ("holdout.csv", '""', r"pipeline\.holdout: '' is not a path inside"),
        ("path: data/weather", "path: data/flights", r"datasets\.weather\.path: .* overlaps the folder of 'flights'"),
        ("path: data/weather", "path: ./data", r"datasets\.weather\.path: .* overlaps the folder of 'flights'"),
        # names that cannot stand in an address
        ("project: flights", 'project: ""', "project"),
        ("model: flight-delay", "model: a/b", "model"),
        ("  name: flight-delay", '  name: ".."', "endpoint"),
        ("  weather:", '  "a b":', "dataset"),
        # a promotion that could never be, or be meant
        ("alpha: 0.05", "alpha: 2", r"alpha must lie in \(0, 1\)"),
        ("metric: log_loss, alpha", "metric: auc, alpha", r"everloop\.yaml: .*auc"),
        ("min_days: 7", "min_days: 70", r"0 <= min_days <= max_days"),
        # not YAML at all
        ("gates:", "gates: [", r":\d+: not YAML"),
        ("project: flights", "project: flights\nproject: b", r":2: not YAML: found duplicate key"),
    ],
)
def test_a_mistake_is_named(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(InvalidError, match=message):
        parse_project(TEXT.replace(old, new, 1))


def test_the_file_is_named_in_errors(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no everloop\.yaml in"):
        read_project(tmp_path)
    (tmp_path / "everloop.yaml").write_text(TEXT.replace("gates", "gate"))
    with pytest.raises(InvalidError, match=rf"^{tmp_path}/everloop\.yaml:11: "):
        read_project(tmp_path)
    (tmp_path / "everloop.yaml").write_bytes(b"project: \xff\n")
    with pytest.raises(InvalidError, match=r"everloop\.yaml is not UTF-8"):
        read_project(tmp_path)


def test_the_policy_is_the_digest_of_the_text_to_the_byte(tmp_path: Path) -> None:
    (tmp_path / "everloop.yaml").write_text(TEXT)
    project, text = read_project(tmp_path)
    assert (project, text) == (parse_project(TEXT), TEXT)
    assert policy_digest(TEXT) == policy_digest(text)
    assert len(policy_digest(TEXT)) == 16
    assert policy_digest(TEXT + "\n") != policy_digest(TEXT)
    assert policy_digest("abc") == "ba7816bf8f01cfea"  # FIPS 180-2, appendix B.1
