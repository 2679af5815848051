"""The columns of all tables: heading, unit and number format, each stated once.

A table names the columns of its frame that it shows, and a name means the same in every frame. To
show something new, add a line to `COLUMNS`; its heading says no unit, which its quantity does.
"""

from __future__ import annotations

from typing import NamedTuple

AS_THE_SLOWEST = "as the slowest"  # in place of a format: as many digits as the slowest speed needs
AS_BEFORE = "as before"  # in place of a format: that of the column before


class Quantity(NamedTuple):
    """What is shown alike in all tables: its unit, and its number format."""

    unit: str = ""
    format: str = ""


class Column(NamedTuple):
    """A heading, and what stands below it; text stands as it is."""

    heading: str
    quantity: Quantity = Quantity()


SPEED, PRINTED_SPEED = Quantity("img/s", AS_THE_SLOWEST), Quantity("img/s", ",.0f")
QUARTILES = Quantity("", AS_BEFORE)
TIME_PER_IMAGE = Quantity("µs per image", ".2f")
TIME_CHANGE = Quantity("µs per image", "+.1f")
MILLISECONDS, MICROSECONDS = Quantity("ms", ".2f"), Quantity("µs", ",.1f")
RATIO = Quantity("", ".3f")  # of whole networks or blocks; to what, the text says
FACTOR = Quantity("", ".2f")  # the same of single operations
CHANGE = Quantity("", "+.1%")
COUNT = Quantity("", ",.0f")
MILLIONS, PRINTED_MILLIONS = Quantity("M", ".3f"), Quantity("M", ".1f")
MACS, PRINTED_MACS, BLOCK_MACS = Quantity("G", ".3f"), Quantity("G", ".1f"), Quantity("M", ".1f")
WINDOW, INTENSITY = Quantity("px", ".0f"), Quantity("FLOP/byte", ".0f")
MEMORY, PEAK, TOTAL = Quantity("MB per image", ".2f"), Quantity("MB", ",.1f"), Quantity("GB", ".2f")
MAPS, TRAFFIC = Quantity("maps", ".0f"), Quantity("× input", ".2f")
TOP1, PRINTED_TOP1 = Quantity("%", ".2f"), Quantity("%", ".1f")
POINTS, PRINTED_POINTS = Quantity("points", "+.2f"), Quantity("points", "+.1f")
PART = Quantity("%", ".0f")  # of the whole network
SHARE, ERROR, NUMBER = Quantity("", ".0%"), Quantity("", ".3%"), Quantity("", ".3f")
P_VALUE, WEIGHT, SETTING = Quantity("", ".2g"), Quantity("", ".4f"), Quantity("", "g")
MISS = Quantity("", ".1%")  # how far predictions are off

MODEL_SIZES = ("M", "L", "XL")  # of TResNet

COLUMNS = {
    # words: what a line is about ("name" is a reader's word for it), what it says, where it is from
    **{word: Column(word) for word in ("name", "network", "phase", "refinement", "rung", "stem")},
    **{word: Column(word) for word in ("stage", "block", "layer", "part", "operation", "mix")},
    **{word: Column(word) for word in ("factor", "gates", "field", "reading", "setting", "map")},
    **{word: Column(word) for word in ("convolutions", "shortcuts", "depths", "output", "stride")},
    **{word: Column(word) for word in ("ran", "kind", "which", "source", "verdict", "ours", "why")},
    "model": Column("network"),
    "place": Column("where"),
    "where": Column("where"),
    "label": Column("where"),
    "way": Column("where and how"),
    "data": Column("images"),
    "base": Column("compared with"),
    "what": Column("group"),
    "value": Column("here"),
    "stated": Column("the paper"),
    "status": Column(""),
    "protocol": Column("brought to size by"),
    "top1_source": Column("accuracy from"),
    "shape": Column("in and out"),
    "input": Column("input, C×H×W"),
    "runs": Column("what runs"),
    "lie_above": Column("above, by the paper's top-1"),
    "lie_above_timm": Column("above, by timm's"),
    "compiled_timm": Column("compiled, timm's accuracies", POINTS),
    "eager_timm": Column("eager, timm's accuracies", POINTS),
    "interval": Column("95 % interval"),
    "changes": Column("95 % interval of the change"),
    "word": Column("accuracy is"),
    # claims
    "id": Column("claim"),
    "section": Column("paper"),
    "sentence": Column("it says"),
    "asserted": Column("paper"),
    # Table 2
    "block_type": Column("block"),
    **{f"{size.lower()}_repeats": Column(f"{size} repeats") for size in MODEL_SIZES},
    **{f"{size.lower()}_channels": Column(f"{size} channels") for size in MODEL_SIZES},
    **{f"{size.lower()}_parameters": Column(f"TResNet-{size}", MILLIONS) for size in MODEL_SIZES},
    **{f"{size.lower()}_off": Column("off", CHANGE) for size in MODEL_SIZES},
    # speed and time
    "paper": Column("paper", PRINTED_SPEED),
    **{word: Column(word, SPEED) for word in ("measured", "speed", "inference", "training")},
    "inference_img_s": Column("inference", SPEED),
    "training_img_s": Column("training", SPEED),
    **{name: Column("quartiles", QUARTILES) for name in ("quartiles", "inference_quartiles")},
    **{name: Column("quartiles", QUARTILES) for name in ("spread", "ratio_spread")},
    "paper_ratio": Column("paper, ratio", RATIO),
    "ratio": Column("measured, ratio", RATIO),
    "inference_ratio": Column("inference, ratio", RATIO),
    "training_ratio": Column("training, ratio", RATIO),
    "speed_ratio": Column("speed, ratio", RATIO),
    **{size.lower(): Column(f"TResNet-{size}", RATIO) for size in MODEL_SIZES},
    "b1": Column("EfficientNet-B1", RATIO),
    "b5": Column("XL at 448 px ÷ B5", RATIO),
    "paper_time": Column("paper, time", RATIO),
    "time": Column("measured, time", RATIO),
    "time_ratio": Column("time, ratio", RATIO),
    "paper_step": Column("paper, step", CHANGE),
    "step": Column("measured, step", CHANGE),
    "milliseconds": Column("time", MILLISECONDS),
    "out": Column("out of place", MICROSECONDS),
    "in": Column("in place", MICROSECONDS),
    "speedup": Column("speedup", FACTOR),
    # size
    **{word: Column(word, COUNT) for word in ("parameters", "tensors", "numbers")},
    **{word: Column(word, COUNT) for word in ("places", "channels", "batch")},
    "parameters_m": Column("parameters", MILLIONS),
    "without_classifier": Column("without classifier", MILLIONS),
    "paper_parameters": Column("paper, parameters", PRINTED_MILLIONS),
    "macs": Column("MACs", MACS),
    "macs_m": Column("MACs", BLOCK_MACS),
    "strided": Column("MACs at stride 2", BLOCK_MACS),
    "blurred": Column("MACs at stride 1", BLOCK_MACS),
    "blur": Column("products of its blur", MILLIONS),
    "paper_macs": Column("paper, MACs", PRINTED_MACS),
    "flops_g": Column("paper, MACs", PRINTED_MACS),
    "macs_ratio": Column("MACs, ratio", RATIO),
    "window": Column("window", WINDOW),
    "intensity": Column("intensity", INTENSITY),
    "resolution": Column("pixels", COUNT),
    "values": Column("values", MILLIONS),
    "layers": Column("SE layers", COUNT),
    "printed": Column("r printed", SETTING),
    "printed_channels": Column("C/r printed", COUNT),
    "coded": Column("r coded", SETTING),
    "coded_channels": Column("C/r coded", COUNT),
    # of the whole network
    **{f"share {part}": Column(part, PART) for part in ("stem", "head")},
    **{f"share stage {n}": Column(f"stage {n}", PART) for n in (1, 2, 3, 4)},
    # memory and traffic
    "kept": Column("kept", MEMORY),
    "kept_ratio": Column("kept, ratio", RATIO),
    **{word: Column(word, MEMORY) for word in ("plain", "published", "lean")},
    **{word: Column(word, MEMORY) for word in ("float32", "bfloat16")},
    "resnet50": Column("ResNet50", MEMORY),
    "batchnorm": Column("TResNet-M, BatchNorm", MEMORY),
    "moved_mb": Column("moved", MEMORY),
    "dense_time": Column("least time, convolution", TIME_PER_IMAGE),
    "blur_time": Column("least time, blur", TIME_PER_IMAGE),
    "blur_share": Column("blur ÷ convolution", SHARE),
    "convolution_time": Column("convolutions", TIME_PER_IMAGE),
    "norm_time": Column("norms", TIME_PER_IMAGE),
    "activation_time": Column("activations", TIME_PER_IMAGE),
    "rest_time": Column("sums, SE, rest", TIME_PER_IMAGE),
    "least_time": Column("all", TIME_PER_IMAGE),
    "printed_time": Column("paper, time", TIME_PER_IMAGE),
    "least_step": Column("change, least", TIME_CHANGE),
    "printed_step": Column("change, paper", TIME_CHANGE),
    "block_time": Column("least time, whole block", TIME_PER_IMAGE),
    "step_time": Column("least time, step by step", TIME_PER_IMAGE),
    "block_ratio": Column("ratio, whole block", FACTOR),
    "step_ratio": Column("ratio, step by step", FACTOR),
    "peak": Column("peak", PEAK),
    "peak_per_image": Column("peak", MEMORY),
    "peak out": Column("peak out of place", MEMORY),
    "peak in": Column("peak in place", MEMORY),
    "max_batch": Column("paper, largest batch", COUNT),
    "largest_batch": Column("largest batch", COUNT),
    "together": Column("together", TOTAL),
    "batch_ratio": Column("batch, ratio", RATIO),
    "float32_ratio": Column("float32", RATIO),
    "bfloat16_ratio": Column("bfloat16", RATIO),
    "target": Column("target", RATIO),
    "architecture": Column("architecture", RATIO),
    "inplace": Column("× Inplace-ABN", RATIO),
    "counted": Column("= counted", RATIO),
    "lean_ratio": Column("lean", RATIO),
    "maps": Column("kept", MAPS),
    "kept out": Column("kept out of place", MAPS),
    "kept in": Column("kept in place", MAPS),
    "moved out": Column("moved out of place", MAPS),
    "moved in": Column("moved in place", MAPS),
    "moved": Column("moved", TRAFFIC),
    "least": Column("least", TRAFFIC),
    "over_least": Column("moved ÷ least", FACTOR),
    # predicted by counting
    **{word: Column(word) for word in ("table", "constants")},
    "limit": Column("limited by"),
    "by": Column("predicted by"),
    "arithmetic_time": Column("MACs take", TIME_PER_IMAGE),
    "bytes_time": Column("bytes take", TIME_PER_IMAGE),
    "predicted": Column("predicted", PRINTED_SPEED),
    "predicted_ratio": Column("predicted, ratio", RATIO),
    "predicted_interval": Column("interval, 95 %", QUARTILES),
    "digitised": Column("read off the figure", PRINTED_SPEED),
    "readme": Column("authors' README", PRINTED_SPEED),
    "quoted_ratio": Column("published, ratio", RATIO),
    "quoted_range": Column("published, ratios", QUARTILES),
    "measured_range": Column("measured, ratios", QUARTILES),
    "scaled_ratio": Column("predicted ÷ printed", FACTOR),
    "off": Column("off", CHANGE),
    "inference_off": Column("TResNets, inference", CHANGE),
    "training_off": Column("TResNets, training", CHANGE),
    "median": Column("median error", MISS),
    "rms": Column("rms error", MISS),
    "worst": Column("worst median error", MISS),
    "rank": Column("rank correlation", FACTOR),
    "worst_rank": Column("worst rank correlation", FACTOR),
    "inference_rank": Column("rank correlation, inference", FACTOR),
    "training_rank": Column("rank correlation, training", FACTOR),
    "macs_change": Column("MACs", CHANGE),
    "activations_change": Column("activations", CHANGE),
    "bytes_change": Column("bytes", CHANGE),
    "files": Column("files", COUNT),
    "macs_error": Column("MACs alone", MISS),
    "activations_error": Column("activations alone", MISS),
    "within_10": Column("within 10 %", SHARE),
    "covered": Column("speeds in their interval", SHARE),
    "ratios_covered": Column("ratios in their interval", SHARE),
    "bandwidth_ratio": Column("largest bandwidth ÷ data sheet", FACTOR),
    # accuracy and training
    "top1": Column("top-1 (quoted)", PRINTED_TOP1),
    "paper_top1": Column("paper, top-1", PRINTED_TOP1),
    "timm_top1": Column("timm, top-1", PRINTED_TOP1),
    "measured_top1": Column("measured, top-1", TOP1),
    "mean": Column("measured, top-1", TOP1),
    "low": Column("from", TOP1),
    "high": Column("to", TOP1),
    "top5": Column("top-5", TOP1),
    "right": Column("right", TOP1),
    "frequent": Column("most frequent class", TOP1),
    "paper_gain": Column("paper", PRINTED_POINTS),
    "gain": Column("measured", POINTS),
    **{word: Column(word, POINTS) for word in ("change", "lowest", "eager", "compiled")},
    "above": Column("above the curve", POINTS),
    "weight": Column("one image is", Quantity("points", ".2f")),
    "p": Column("p", P_VALUE),
    "corrected": Column("p, corrected", P_VALUE),
    **{word: Column(word, COUNT) for word in ("seeds", "networks", "steps", "classes")},
    "train": Column("to train on", COUNT),
    "held_out": Column("held out", COUNT),
    "decoupled": Column("decoupled", WEIGHT),
    "l2": Column("L2, no momentum", WEIGHT),
    "l2_momentum": Column("L2, momentum 0.9", WEIGHT),
    "decay": Column("weight decay", SETTING),
    "true": Column("target of the true class", WEIGHT),
    "other": Column("of each other", P_VALUE),
    "gap": Column("logits apart", FACTOR),
    "least_loss": Column("least loss", NUMBER),
    # shifts, gradients and gates
    "shift_error": Column("error", SHARE),
    "shift_change": Column("change", NUMBER),
    "shift_ratio": Column("to averages", FACTOR),
    "gamma": Column("γ", SETTING),
    "plain_error": Column("reading back", ERROR),
    "layer_error": Column("InPlaceABN", ERROR),
    "tail_error": Column("fused block's end", ERROR),
    "largest_error": Column("largest error", Quantity("", ".0e")),
    "share": Column("share", SHARE),
    # a call of each way to write an operation
    **{f"time {way}": Column(way, MICROSECONDS) for way in ("eager", "script", "compile", "mean")},
    **{f"time {way}": Column(way, MICROSECONDS) for way in ("view + mean", "AvgPool2d")},
    "time AdaptiveAvgPool2d": Column("AdaptiveAvgPool2d", MICROSECONDS),
}
