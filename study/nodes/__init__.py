"""The cluster as a run meets it: joined or started, how much fits, what is waited for, lost or told to stop."""
