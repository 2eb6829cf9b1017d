"""`python -m study.bench`: what a step, a loop, a trial and a report cost here. Measures and changes nothing else."""
