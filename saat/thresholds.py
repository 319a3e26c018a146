"""Thresholds of the reliability gates, and of the checks that need no battery.

Raise the version of a gate in :data:`saat.reliability.GATES` together with its threshold.
"""

# above_chance: how far the lower end of the interval of AP minus chance must lie above 0.
CHANCE_MARGIN = 0.01
# zero_gradient: largest fraction of exactly zero input gradients with which attacks count as able
# to see.
ZERO_GRADIENT_TOLERANCE = 0.1
# direction: queries on which the gradient's step must beat the best random one, as a fraction.
DIRECTION_SHARE = 0.8
# smooth: what a step along the gradient must gain, as a share of a step along the smoothed one.
SMOOTH_SHARE = 0.8
# scale: MAP by which the published attack may be weaker than itself on rescaled features.
SCALE_TOLERANCE = 0.02
# scale: MAP by which the gate attack's result may change with the scale; rounding takes its part.
SCALE_CHANGE = 0.01
# scale: fraction of the features that may saturate tanh at α = 1.
SATURATED_SHARE = 0.5
# monotone, black_box: MAP that may be lost to chance where more should be stronger, beyond the
# bootstrap's interval.
MONOTONE_TOLERANCE = 0.01
# floor: MAP above the theoretical floor when any image may be shown.
FLOOR_TOLERANCE = 0.05
# plateau: MAP that many more iterations may still gain over the battery's own.
PLATEAU_TOLERANCE = 0.05
