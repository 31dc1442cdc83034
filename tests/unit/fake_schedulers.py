"""Slurm and Grid Engine as small scripts that run a job's tasks one after another and record their command lines."""

import os
import stat
import sys
from pathlib import Path

UTILS = Path(__file__).resolve().parents[2] / "utils"

QSUB = r"""
# Runs a job as Grid Engine would, in the background; leaves a record of its command line.
import os, re, shlex, shutil, subprocess, sys, time
calls = os.environ["FAKE"]
open(f"{calls}/submissions", "a").write("\0".join(sys.argv) + "\n")
refusals = int(open(f"{calls}/refuse").read()) if os.path.exists(f"{calls}/refuse") else 0
if refusals:
    open(f"{calls}/refuse", "w").write(str(refusals - 1))
    sys.exit("refused: too busy")
slurm, job = "--open-mode=append" in sys.argv, 76 + len(open(f"{calls}/submissions").readlines())
tasks, variable = [None], "SLURM_ARRAY_TASK_ID" if slurm else "SGE_TASK_ID"
for i, word in enumerate(sys.argv):
    if word in ("-t", "--array"):
        tasks = []
        for part in sys.argv[i + 1].partition("%")[0].split(","):
            first, _, last = part.replace(":", "-").partition("-")
            tasks += range(int(first), int(last or first) + 1)
lost = open(f"{calls}/lose").read().split() if os.path.exists(f"{calls}/lose") else []
tasks = [task for task in tasks if str(task) not in lost]
# As they do: the submitter may write the next script when this one still waits.
script = shutil.copy(sys.argv[-1], f"{calls}/script.{job}")
body = []
for task in tasks:
    open(f"{calls}/task.{job}.{task}", "w").close()
    own = [f"{'SLURM_JOB_ID' if slurm else 'JOB_ID'}={job}"]
    if task and slurm:
        own.append(f"SLURM_ARRAY_JOB_ID={job}")
    if task or not slurm:
        own.append(f"{variable}={task or 'undefined'}")
    body.append(f"{' '.join(own)} bash {shlex.quote(script)}; rm {calls}/task.{job}.{task}")
process = subprocess.Popen(["bash", "-c", "; ".join(body)], start_new_session=True,
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
open(f"{calls}/group.{job}", "w").write(str(process.pid))
if os.path.exists(f"{calls}/busy"):
    time.sleep(3)
print(f"Submitted batch job {job}" if slurm else f'Your job-array {job}.1-4:1 ("f.sh") has been submitted')
"""

QSTAT = r"""
# `trouble` is what it says instead of an answer; `slow` makes it hang.
import os, sys, time
calls, slurm = os.environ["FAKE"], "squeue" in sys.argv[0]
if os.path.exists(f"{calls}/slow"):
    time.sleep(100)
if os.path.exists(f"{calls}/trouble"):
    sys.exit(open(f"{calls}/trouble").read())
tasks = [name.split(".")[1:] for name in sorted(os.listdir(calls)) if name.startswith("task.")]
state = open(f"{calls}/state").read() if os.path.exists(f"{calls}/state") else "RUNNING None" if slurm else "r"
if slurm:
    own = [task for job, task in tasks if job == sys.argv[sys.argv.index("-j") + 1]]
    if not own:
        sys.exit("slurm_load_jobs error: Invalid job id specified")
    print("9 COMPLETED None", *(f"{'N/A' if task == 'None' else task} {state}" for task in own), sep="\n")
elif "-xml" in sys.argv:
    print("<job_info><queue_info>")
    for number in sorted({job for job, _ in tasks}):
        first, *waiting = [task for job, task in tasks if job == number]
        if len(waiting) > 1 and int(waiting[-1]) == int(waiting[-2]) + 1:
            waiting[-2:] = [f"{waiting[-2]}-{waiting[-1]}:1"]
        for task in filter(None, [first, ",".join(waiting)]):
            own = "" if task == "None" else f"<tasks>{task}</tasks>"
            print(f"<job_list>\n<JB_job_number>{number}</JB_job_number>\n<state>{state}</state>\n<slots>1</slots>\n{own}\n</job_list>")
    print("</queue_info></job_info>")
else:
    assert sys.argv[1:] == ["-j", "77"]
    print("job_number:   77\nerror reason    1:  can't chdir to /nowhere")
"""

QDEL = r"""
import os, signal, sys
calls = os.environ["FAKE"]
open(f"{calls}/cancelled", "a").write(sys.argv[1] + "\n")
os.killpg(int(open(f"{calls}/group.{sys.argv[1]}").read()), signal.SIGKILL)
for name in os.listdir(calls):
    if name.startswith(f"task.{sys.argv[1]}."): os.remove(f"{calls}/{name}")
"""


def install(folder: Path) -> dict[str, str]:
    """Write the commands of both into the folder, where they leave their records; returns variables that find them."""
    folder.mkdir()
    for name, text in {
        "qsub": QSUB,
        "sbatch": QSUB,
        "qstat": QSTAT,
        "squeue": QSTAT,
        "qdel": QDEL,
        "scancel": QDEL,
    }.items():
        file = folder / name
        file.write_text(f"#!{sys.executable}\n{text}")
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "FAKE": str(folder)}


# Runs a submitter with short pauses.
QUICKLY = """
import runpy, sys
sys.path.insert(0, sys.argv[1])
import cluster
cluster.RETRY_AFTER = (0.01,) * 4
cluster.ASK_FIRST = 0.2
cluster.GRACE = 0.5
cluster.PATIENCE = 3.0
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def words(command: str, *args: object) -> list[str]:
    """The command line of a submitter that does not wait long."""
    return [sys.executable, "-c", QUICKLY, str(UTILS), str(UTILS / command), *map(str, args)]
