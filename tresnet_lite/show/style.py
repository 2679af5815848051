"""The look of all drawings: colours, sizes, and matplotlib's settings.

The colours are of a palette that colour-blind readers can tell apart (Okabe and Ito).
"""

BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"
ORANGE, SKY, PURPLE = "#E69F00", "#56B4E9", "#CC79A7"
SERIES_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY)  # of lines and parts, in this order
INK = "#010203"  # drawn with in place of black, then replaced by the page's text colour
WIDTH = 4.0  # inches
SMALL = 9.6  # points in the drawing, 9 points in a column of 360 pixels
POINT = 1 / 72  # inches
STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"],
    "font.size": 10.5,
    "axes.titlesize": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.frameon": False,
    "text.parse_math": False,  # names come from data: a "$" in them is a "$"
    "svg.fonttype": "none",  # letters stay letters: small, searchable, in the page's size
    "svg.hashsalt": "tresnet_lite",  # the same figure is the same file
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
PAPER = {  # how the paper's values look
    "color": VERMILLION,
    "marker": "D",
    "markersize": 8,
    "markeredgewidth": 2,
    "fillstyle": "none",
    "linestyle": "none",
}
