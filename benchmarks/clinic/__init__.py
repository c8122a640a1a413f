"""Whether `chainrule.diagnose` names the cause: planted faults and healthy runs that look ill."""
