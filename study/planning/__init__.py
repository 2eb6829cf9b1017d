"""From a sweep and the command line to cells and trials. Knows no Ray; of torch only the names in its tables."""
