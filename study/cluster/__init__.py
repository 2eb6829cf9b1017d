"""From one laptop to a Ray cluster: submit a run as a job, follow and stop it, and find out what would break it."""
