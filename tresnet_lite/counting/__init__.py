"""Counting: a network by its name, read without a clock, mostly on the meta device.

networks       builds a network by its name: ours, a rung of Table 4, timm's
trace          the shape that each module takes and gives
sizes          parameters, multiply-accumulates, receptive fields
kept           what training keeps for backward
traffic        MACs of operations, and bytes that they read and write; a step's, for any batch
published_abn  stands for the published Inplace-ABN, whose kernels cannot be looked into
shapes         shapes of the commonest operations, in half the time
block_steps    the order of a residual block's steps
"""

from tresnet_lite.counting.sizes import count_macs, count_parameters, receptive_field

__all__ = ["count_macs", "count_parameters", "receptive_field"]
