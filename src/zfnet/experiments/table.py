"""The table of stages: everything that zfnet can run, in the order in which it runs."""

from zfnet.experiments.ablations.stage import ABLATIONS
from zfnet.experiments.class_model.stage import CLASS_MODEL
from zfnet.experiments.config import with_sections
from zfnet.experiments.correspondence.stage import CORRESPONDENCE
from zfnet.experiments.data.stage import DATA
from zfnet.experiments.ensemble.stage import ENSEMBLE
from zfnet.experiments.evolution.stage import EVOLUTION
from zfnet.experiments.explain.stage import EXPLAIN
from zfnet.experiments.first_layer.stage import FIRST_LAYER
from zfnet.experiments.invariance.stage import INVARIANCE
from zfnet.experiments.localization.stage import LOCALIZATION
from zfnet.experiments.occlusion.stage import OCCLUSION
from zfnet.experiments.patterns.stage import PATTERNS
from zfnet.experiments.report.stage import REPORT
from zfnet.experiments.saliency.stage import SALIENCY
from zfnet.experiments.stage import Stage
from zfnet.experiments.top_activations.stage import TOP_ACTIVATIONS
from zfnet.experiments.train.stage import TRAIN
from zfnet.experiments.transfer.stage import TRANSFER
from zfnet.experiments.voc.stage import VOC

TABLE: tuple[Stage, ...] = (
    DATA,
    TRAIN,
    ENSEMBLE,
    ABLATIONS,
    TOP_ACTIVATIONS,
    EVOLUTION,
    FIRST_LAYER,
    INVARIANCE,
    OCCLUSION,
    CORRESPONDENCE,
    CLASS_MODEL,
    SALIENCY,
    PATTERNS,
    TRANSFER,
    VOC,
    LOCALIZATION,
    REPORT,  # needs all stages above
    EXPLAIN,  # of a photograph: not in the report
)
STAGES: dict[str, Stage] = {stage.name: stage for stage in TABLE}

Config = with_sections({stage.name: stage.options for stage in TABLE if stage.options})  # the schema of conf/
Config.__module__ = __name__  # where a process that gets it pickled finds it
