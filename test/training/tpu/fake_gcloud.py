"""A gcloud for tests: remembers its arguments, plays errors; a VM, its workers and a bucket are folders.

In the folder $FAKE_GCLOUD: calls.jsonl (what it was called with); answers.json (a list of {"match", "status",
"stdout", "stderr"}, each used once, by the first call whose words contain all of "match"); vm and queued
(files with a state: what there is); workers/N (homes); prepared (what startup.sh leaves there); bucket/ (gs://).
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(os.environ["FAKE_GCLOUD"])


def main(words):
    with (ROOT / "calls.jsonl").open("a") as file:
        file.write(json.dumps(words) + "\n")
    answer = planned(words)
    if answer is not None:
        for name, state in answer.get("world", {}).items():
            (ROOT / name).write_text(state)
        sys.stdout.write(answer.get("stdout", ""))
        sys.stderr.write(answer.get("stderr", ""))
        if "stdout" in answer or "status" in answer:
            return answer.get("status", 0)
    if words[0] == "storage":
        return storage(words[1], words[2:])
    return {"tpu-vm": vm, "queued-resources": queued}[words[2]](words[3], words[4:])


def planned(words):
    path = ROOT / "answers.json"
    answers = json.loads(path.read_text()) if path.exists() else []
    for number, answer in enumerate(answers):
        if all(part in words for part in answer["match"]):
            del answers[number]
            path.write_text(json.dumps(answers))
            return answer
    return None


def vm(verb, words):
    state = ROOT / "vm"
    if verb == "create":
        state.write_text("READY")
        return 0
    if not state.exists():
        return missing()
    if verb == "describe":
        parent = {"queuedResource": "projects/p/locations/z/queuedResources/my-tpu"}
        content = {"state": state.read_text(), "acceleratorType": "v3-8", "health": "HEALTHY"}
        print(
            json.dumps(
                {**content, "networkEndpoints": [{}], **(parent if (ROOT / "queued").exists() else {})}
            )
        )
    elif verb == "delete":
        state.unlink()
        shutil.rmtree(ROOT / "workers", ignore_errors=True)
    elif verb == "scp":
        files = [word for word in words if not word.startswith("--")]
        for home in homes():
            for name in files[:-1]:
                shutil.copy(name, home / files[-1].partition(":")[2])
    elif verb == "ssh":
        return ssh(words)
    return 0


def queued(verb, _words):
    state = ROOT / "queued"
    if verb == "create":
        state.write_text("ACTIVE")
        (ROOT / "vm").write_text("READY")
        return 0
    if not state.exists():
        return missing()
    if verb == "describe":
        print(json.dumps({"state": {"state": state.read_text()}}))
    elif verb == "delete":
        state.unlink()
        (ROOT / "vm").unlink(missing_ok=True)
    return 0


def ssh(words):
    options = dict(word[2:].split("=", 1) for word in words if "=" in word)
    statuses = []
    for number, home in enumerate(homes()):
        if options["worker"] in ("all", str(number)):
            env = {**os.environ, "HOME": str(home), "RELPOSE_WORKER": str(number)}
            line = options["command"]
            if "startup.sh" in line:
                shutil.copytree(ROOT / "prepared", home / "relpose", dirs_exist_ok=True)
                continue
            statuses.append(subprocess.run(["bash", "-c", line], env=env, cwd=home, check=False).returncode)
    return max(statuses, default=0)


def homes():
    if not (ROOT / "workers").exists():
        (ROOT / "workers/0").mkdir(parents=True)
    return sorted((ROOT / "workers").iterdir())


def storage(verb, words):
    exclude = next((word[10:] for word in words if word.startswith("--exclude=")), None)
    paths = [local(word) for word in words if not word.startswith("--")]
    if verb == "ls":
        if paths[0].is_dir():
            return 0
        print("ERROR: (gcloud.storage.ls) One or more URLs matched no objects.", file=sys.stderr)
        return 1
    if verb == "cp":
        paths[1].parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(paths[0], paths[1])
        return 0
    for path in sorted(paths[0].rglob("*")):
        inside = str(path.relative_to(paths[0]))
        if path.is_file() and not (exclude and re.match(exclude, inside)):
            target = paths[1] / inside
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    return 0


def local(word):
    return ROOT / "bucket" / word[5:] if word.startswith("gs://") else Path(word)


def missing():
    print("ERROR: (gcloud) NOT_FOUND: Resource 'my-tpu' was not found", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
