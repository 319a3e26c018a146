"""The paper's numbers, its tables and figures, and pages that show ours beside them."""
