"""ONNX Runtime on one thread, asked as functions/model/examples/time.rs is: `peer.py MODEL ROWS`, or what it is.

Inputs and outputs are bound, so that a run is as near to ONNX Runtime's own as Python comes.

peer.py versions    what is measured
peer.py limits      what one core moves and multiplies: bytes a second of a copy, floating-point operations a second of a
                    matrix product
"""

import json
import statistics
import sys
import time

import numpy as np
import onnxruntime


def measure(session, rows, batch, seconds):
    binding = session.io_binding()
    binding.bind_cpu_input("x", rows[:batch])
    output = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros((batch, 1), np.float32))
    binding.bind_ortvalue_output("y", output)
    session.run_with_iobinding(binding)
    times, started, processor = [], time.perf_counter(), time.thread_time()
    while not times or time.perf_counter() - started < seconds:
        run = time.perf_counter()
        session.run_with_iobinding(binding)
        times.append(time.perf_counter() - run)
    cpu = (time.thread_time() - processor) / len(times)
    total = float(output.numpy().astype(np.float64).sum())
    return {"runs": len(times), "wall_us": statistics.median(times) * 1e6, "cpu_us": cpu * 1e6, "sum": total}


def limits():
    source, to = np.zeros(1 << 25, np.float32), np.zeros(1 << 25, np.float32)
    one, two = np.ones((1024, 1024), np.float32), np.ones((1024, 1024), np.float32)
    best = {}
    for _ in range(5):
        for name, run, work in [("copied", lambda: np.copyto(to, source), 2 * source.nbytes), ("multiplied", lambda: one @ two, 2 * 1024**3)]:
            started = time.thread_time()
            run()
            best[name] = max(best.get(name, 0), work / (time.thread_time() - started))
    return best


def main():
    if sys.argv[1] == "versions":
        return print(json.dumps([f"ONNX Runtime {onnxruntime.__version__}", f"NumPy {np.__version__}"]))
    if sys.argv[1] == "limits":
        return print(json.dumps(limits()))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    started = time.perf_counter()
    session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
    load_ms = (time.perf_counter() - started) * 1e3
    width = session.get_inputs()[0].shape[1]
    rows = np.fromfile(sys.argv[2], np.float32).reshape(-1, width)
    print(json.dumps({"load_ms": load_ms, "features": width}), flush=True)
    for line in sys.stdin:
        batch, seconds = line.split()
        print(json.dumps(measure(session, rows, int(batch), float(seconds))), flush=True)


if __name__ == "__main__":
    main()
