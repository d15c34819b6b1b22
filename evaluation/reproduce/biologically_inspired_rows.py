"""The networks of Burhanpurkar 2021, and what is printed of them.

Accuracies are in percent, as printed in its Tables 1 and 2: Linf PGD of 20 steps of epsilon / 3 without
random start, on the 500 test pictures of ImageNet10.
"""

from bioattack.evaluation.reproduce.experiment import Row, Variant

BASELINE = Variant("resnet18", "resnet18", small_options={"width": 8})
COARSE = Variant("coarse", "coarse")
RETINAL_DISCRETE = Variant("retinal-discrete", "retinal", {"mode": "nearest"})
RETINAL_BILINEAR = Variant("retinal-bilinear", "retinal", {"mode": "bilinear"})
CORTICAL = Variant("cortical", "cortical")
STN = Variant("stn", "stn")
MULTI_GAZE = Variant("multi_gaze", "multi_gaze")
MULTI_GAZE_L2 = Variant("multi_gaze-l2", "multi_gaze", {"gaze_l2": 0.01})
BLUR = Variant("blur", "blur")

BASELINE_ROW = Row(
    BASELINE,
    "Standard ResNet",
    {0.0: 89.2, 0.001: 79.6, 0.005: 24.4, 0.01: 3.0, 0.02: 0.02, 0.05: 0.0},
)
COARSE_ROW = Row(
    COARSE, "Coarse fixations", {0.0: 91.2, 0.001: 80.8, 0.005: 16.4, 0.01: 1.2, 0.02: 0.01, 0.05: 0.0}
)
DISCRETE_ROW = Row(
    RETINAL_DISCRETE,
    "Retinal fixations",
    {0.0: 90.0, 0.001: 82.8, 0.005: 41.0, 0.01: 9.0, 0.02: 0.2, 0.05: 0.0},
)
BILINEAR_ROW = Row(
    RETINAL_BILINEAR,
    "Retinal, bilinear",
    {0.0: 89.8, 0.001: 85.4, 0.005: 45.0, 0.01: 12.6, 0.02: 0.4, 0.05: 0.0},
)
CORTICAL_ROW = Row(
    CORTICAL, "Cortical fixations", {0.0: 87.8, 0.001: 82.0, 0.005: 42.8, 0.01: 11.8, 0.02: 1.0, 0.05: 0.0}
)
STN_ROW = Row(STN, "Parallel transformers")
MULTI_GAZE_ROW = Row(MULTI_GAZE, "Multi-gaze")
MULTI_GAZE_L2_ROW = Row(MULTI_GAZE_L2, "Multi-gaze, L2 0.01")
BLUR_ROW = Row(BLUR, "Blur (control)")
ALL_ROWS = (
    *(BASELINE_ROW, COARSE_ROW, DISCRETE_ROW, BILINEAR_ROW, CORTICAL_ROW),
    *(STN_ROW, MULTI_GAZE_ROW, MULTI_GAZE_L2_ROW, BLUR_ROW),
)
