# SPDX-License-Identifier: Apache-2.0
"""Runs every layer of the tests and closes with one line that counts them.

    ./dev test                    everything (about 20 minutes on 2 cores the first time)
    ./dev test --quick            without sanitizer builds and fuzzing
    ./dev test --only c python    some layers: lint c python sanitize threads aarch64 fuzz
"""
import argparse
import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
RESULTS = BUILD / "test-results"
LAYERS = ["lint", "c", "python", "sanitize", "threads", "aarch64", "fuzz"]
JOBS = str(min(4, os.cpu_count() or 1))


class Tally:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def add(self, layer, name, outcome, text=""):
        setattr(self, outcome, getattr(self, outcome) + 1)
        if outcome == "failed":
            print(f"FAILED  {layer}: {name}\n{text.rstrip()}\n", flush=True)
        elif outcome == "skipped":
            print(f"SKIPPED {layer}: {name}: {text.strip() or 'no reason given'}", flush=True)


def last_line(text):
    lines = [line for line in (text or "").splitlines() if line.strip()]
    return lines[-1] if lines else ""


def add_junit(tally, layer, path):
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname', '')}.{case.get('name')}".strip(".")
        output = case.findtext("system-out") or ""
        problem = case.find("failure") if case.find("failure") is not None else case.find("error")
        skip = case.find("skipped")
        if problem is not None or case.get("status") == "fail":
            text = (problem.text or problem.get("message") or "") if problem is not None else ""
            tally.add(layer, name, "failed", (text + "\n" + output)[-6000:])
        elif skip is not None or case.get("status") in ("notrun", "disabled"):
            # ctest knows only the exit code; the program's last line is the reason.
            reason = last_line(output) or (skip.get("message") if skip is not None else "") or case.get("status")
            tally.add(layer, name, "skipped", reason)
        else:
            tally.add(layer, name, "passed")


def ctest(tally, layer, build, *options, **environment):
    report = RESULTS / f"{layer}.xml"
    command = ["ctest", "--test-dir", str(build), "-j", JOBS, "--output-junit", str(report), "--timeout", "600", *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **environment})
    if not report.exists():
        tally.add(layer, "ctest", "failed", done.stdout)
        return
    add_junit(tally, layer, report)
    report.unlink()


def build_preset(preset, compiler=None):
    directory = ROOT / f"build-{preset}"
    if not (directory / "build.ninja").exists():
        extra = [f"-DCMAKE_C_COMPILER={compiler}"] if compiler else []
        # Device code is the same in every build: compiled once.
        images = BUILD / "backends" / "cuda"
        if any(images.glob("*.fatbin")):
            extra.append(f"-DTENON_CUDA_IMAGES={images}")
        subprocess.run(["cmake", "--preset", preset, *extra], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", "--preset", preset], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return directory


def run_lint(tally, _):
    for script in sorted((ROOT / "tests/lint").glob("check_*.py")):
        done = subprocess.run([sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        tally.add("lint", script.stem, "failed" if done.returncode else "passed", done.stdout)


def run_c(tally, _):
    ctest(tally, "c", BUILD)


def run_python(tally, _):
    report = RESULTS / "python.xml"
    folders = [str(ROOT / "tests" / f) for f in ("golden", "python", "abi", "hosts", "bench") if (ROOT / "tests" / f).is_dir()]
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-x" if os.environ.get("TEST_STOP") else "-q", f"--junitxml={report}", "-p", "no:cacheprovider", *folders],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if not report.exists():
        tally.add("python", "pytest", "failed", done.stdout)
        return
    add_junit(tally, "python", report)
    report.unlink()
    run_python_rocm(tally)


def run_python_rocm(tally):
    """The operations from Python on the kernels of ROCm, in the interpreter."""
    report, staged, fake = RESULTS / "python-rocm.xml", BUILD / "tests/gpu_staged/libtenon_staged.so", BUILD / "tests/rocm/fake_hip"
    if not staged.exists():
        tally.add("python-rocm", "all", "skipped", "no device code or no interpreter in this build")
        return
    for target in ("gfx90a", "gfx942", "gfx950"):
        done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-rs", f"--junitxml={report}", "-p", "no:cacheprovider", str(ROOT / "tests/python/test_every_operation.py")],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env={**os.environ, "TENON_BACKEND": "rocm", "TENON_LIBRARY": str(staged), "TENON_STAGED_LIBRARY": str(BUILD / "libtenon.so"),
                                   "TENON_FAKE_HIP_ARCH": f"{target}:sramecc+:xnack-", "LD_LIBRARY_PATH": str(fake)})
        if not report.exists():
            tally.add(f"python-{target}", "pytest", "failed", done.stdout)
            continue
        add_junit(tally, f"python-{target}", report)
        report.unlink()


def run_sanitize(tally, _):
    # The interposition tests count libc calls and the call-cost test measures time: both mean nothing in an instrumented build.
    # Of the interpreted code objects one target: the host side of the others is the same, and the device side cannot be instrumented.
    ctest(tally, "asan-ubsan", build_preset("asan-ubsan"), "-LE", "uninstrumented", "-E", "^rocm_(gfx90a|gfx950)_|^rocm_gfx942_(bench|model|mutations|matmul_bits)")


def run_threads(tally, _):
    ctest(tally, "tsan", build_preset("tsan"), "-L", "threads")


def run_aarch64(tally, _):
    missing = [tool for tool in ("aarch64-linux-gnu-gcc", "qemu-aarch64") if not shutil.which(tool)]
    if missing:
        tally.add("aarch64", "all", "skipped", f"no {' and no '.join(missing)} on this machine")
        return
    build = build_preset("aarch64")
    # Left out: what no instruction set changes; what counts nanoseconds; and a fork of a process with threads, which qemu-user cannot do.
    ctest(tally, "aarch64", build, "-E", "^(test_bad_input|test_interposition|test_reentrancy|test_plugin_call_cost|test_cpu_threads|test_cpu_threads_cost)$")
    # Cores without the newer instructions: those of the lower levels must not hold any.
    for cpu in ("cortex-a57", "neoverse-n1"):
        ctest(tally, f"aarch64-{cpu}", build, "-R", "^(test_simd_arm_.*|test_row_convert|test_quantize_spans|test_native_cache|test_matmul_groups|bench_test_.*_C)$",
              QEMU_CPU=cpu)


def run_fuzz(tally, options):
    compiler = next((c for c in ("clang-22", "clang") if subprocess.run(["which", c], stdout=subprocess.DEVNULL).returncode == 0), None)
    if not compiler:
        tally.add("fuzz", "all", "skipped", "no clang with libFuzzer on this machine")
        return
    directory = build_preset("fuzz", compiler)
    targets = sorted(p for p in directory.glob("fuzz_*") if os.access(p, os.X_OK) and p.is_file())
    if not targets:
        tally.add("fuzz", "all", "failed", "no fuzz target was built")

    def one(target):
        work = RESULTS / "fuzz" / target.name
        work.mkdir(parents=True, exist_ok=True)
        command = [str(target), f"-max_total_time={options.fuzz_seconds}", "-timeout=20", "-rss_limit_mb=4096", "-print_final_stats=1",
                   f"-artifact_prefix={work}/", str(work)]
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")

    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        for target, done in zip(targets, pool.map(one, targets)):
            tally.add("fuzz", target.name, "failed" if done.returncode else "passed", done.stdout[-6000:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="lint, c and python only")
    parser.add_argument("--only", nargs="+", choices=LAYERS)
    parser.add_argument("--fuzz-seconds", type=int, default=int(os.environ.get("TENON_FUZZ_SECONDS", "20")), help="for each target")
    options = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    tally = Tally()
    for layer in options.only or (LAYERS[:3] if options.quick else LAYERS):
        start = time.monotonic()
        before = (tally.passed, tally.failed, tally.skipped)
        try:
            globals()[f"run_{layer}"](tally, options)
        except subprocess.CalledProcessError as error:
            tally.add(layer, " ".join(map(str, error.cmd)), "failed", f"exit status {error.returncode}")
        counts = [now - then for now, then in zip((tally.passed, tally.failed, tally.skipped), before)]
        print(f"-- {layer}: {counts[0]} passed, {counts[1]} failed, {counts[2]} skipped in {time.monotonic() - start:.0f} s", flush=True)
    print(f"{tally.passed} passed, {tally.failed} failed, {tally.skipped} skipped", flush=True)
    return 1 if tally.failed or not tally.passed else 0


if __name__ == "__main__":
    sys.exit(main())
