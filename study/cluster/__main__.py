"""The command line of the cluster: `python -m study.cluster submit HEAD SWEEP`, and status, logs, stop and doctor."""

import argparse
import sys
from collections.abc import Sequence

from study.cluster.facts import Question
from study.terminal import Parser, add_options, declared, exit_code, read_options

DESCRIPTION = "Runs a sweep as a job on a Ray cluster, follows and stops it, and finds out what would break it."
EPILOG = """\
examples:
  python -m study.cluster doctor                                   would a run work on this machine?
  python -m study.cluster doctor --address http://HEAD:8265 --storage s3://bucket/studies
                                                                   ... and on that cluster, writing there?
  python -m study.cluster submit http://HEAD:8265 depth_sweep --scale paper --storage s3://bucket/studies
                                                                   run it there; any option of study.run may follow
  python -m study.cluster submit http://HEAD:8265 my_sweep.py      a sweep of your own: the file travels with the job,
                                                                   and so do the modules beside it that it imports
  python -m study.cluster status --address http://HEAD:8265        the jobs, a line each
  python -m study.cluster logs JOB --follow                        a job's output, and what it goes on to say
  python -m study.cluster stop JOB                                 as Ctrl-C does: nothing that has finished is lost

HEAD is where `ray start --head` serves its dashboard: HOST, HOST:PORT (8265 unless given) or a URL. --address may be
left out where RAY_API_SERVER_ADDRESS or RAY_ADDRESS is set, or the cluster's head is this machine.
Submitting again goes on where the run stopped: finished trials are never repeated."""
SUBMIT_EPILOG = """\
Options of the run are those of `python -m study.run`, and are checked here before anything is sent. Our code, your
sweep file and the modules of its folder that it imports travel with the job; results, data and environments do not.
--data-dir and --storage are places that the head sees; without --storage results are in ~/results of the head. Ctrl-C
asks whether to detach or to stop the job."""
ADDRESS_HELP = "the cluster's job server (RAY_API_SERVER_ADDRESS, RAY_ADDRESS, or port 8265 of this machine)"
DRY_RUN = "--dry-run"


def build_parser() -> argparse.ArgumentParser:
    """The command line's options; `python -m study.cluster --help` shows them."""
    shape = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="python -m study.cluster", description=DESCRIPTION, epilog=EPILOG, formatter_class=shape)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    submit = commands.add_parser("submit", help="run a sweep as a job", epilog=SUBMIT_EPILOG, formatter_class=shape)
    submit.add_argument("--detach", action="store_true", help="do not follow the log")
    submit.add_argument("head", metavar="HEAD", help="the cluster's job server, e.g. http://10.0.0.1:8265")
    submit.add_argument("run", nargs=argparse.REMAINDER, metavar="SWEEP|FILE.py [OPTION ..]", help="as for study.run")
    status = commands.add_parser("status", help="the jobs, or one")
    status.add_argument("job", nargs="?", metavar="JOB", help="its id; without one, all are listed")
    logs = commands.add_parser("logs", help="what a job has said")
    logs.add_argument("job", metavar="JOB")
    logs.add_argument("--follow", action="store_true", help="go on until the job ends")
    stop = commands.add_parser("stop", help="stop a job; what has finished stays")
    stop.add_argument("job", metavar="JOB")
    for command in (status, logs, stop):
        command.add_argument("--address", metavar="HEAD", help=ADDRESS_HELP)
    _add_doctor(commands.add_parser("doctor", help="what would break a run, and what to do"))
    return parser


def _add_doctor(doctor: argparse.ArgumentParser) -> None:
    address_help = (
        "`auto` or HOST:6379 from a node of the cluster, http://HEAD:8265 from elsewhere (this machine alone)"
    )
    doctor.add_argument("--address", metavar="ADDR", help=address_help)
    add_options(doctor, declared(Question))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = build_parser().parse_args(arguments)
    return exit_code(lambda: COMMANDS[options.command](options), (ValueError, OSError))


def _submit(options: argparse.Namespace) -> int:
    """Check, send, follow; the exit code is the run's."""
    from study.cluster.submission import run_job

    words = [word for word in options.run if word != DRY_RUN]
    job = run_job(words)
    print(job.summary)
    if len(words) < len(options.run):
        print(f"The head would run: {job.entrypoint}\nNothing was sent.")
        return 0
    from study.cluster.follow import Follower
    from study.cluster.jobs import JobServer

    server = JobServer.at(options.head)
    follower = Follower(server, server.submit(job))
    print(f"Job {follower.job_id} is on {server.address}.")
    if options.detach:
        follower.tell_how_to_go_on()
        return 0
    return follower.follow()


def _status(options: argparse.Namespace) -> int:
    from study.cluster.follow import job_lines
    from study.cluster.jobs import JobServer

    server = JobServer.at(options.address)
    jobs = server.list() if options.job is None else [server.info(options.job)]
    print("\n".join(job_lines(jobs)) or f"No job was submitted to {server.address} yet.")
    return 0


def _logs(options: argparse.Namespace) -> int:
    from study.cluster.follow import Follower
    from study.cluster.jobs import JobServer

    server = JobServer.at(options.address)
    if options.follow:
        return Follower(server, options.job).follow()
    print(server.log(options.job), end="")
    return 0


def _stop(options: argparse.Namespace) -> int:
    from study.cluster.follow import Follower
    from study.cluster.jobs import JobServer

    return Follower(JobServer.at(options.address), options.job).stop()


def _doctor(options: argparse.Namespace) -> int:
    from study.cluster.doctor import examine, examine_as_job

    question = read_options(Question, options)
    if (options.address or "").startswith("http"):
        return examine_as_job(options.address, question)
    return examine(options.address, question)


COMMANDS = {"submit": _submit, "status": _status, "logs": _logs, "stop": _stop, "doctor": _doctor}

if __name__ == "__main__":
    sys.exit(main())
