"""Why training does not improve, and what to change."""
