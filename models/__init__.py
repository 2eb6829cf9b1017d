"""The mathematics of the study, in torch alone: networks, initialisers, regularisers, modulation and schedules."""
