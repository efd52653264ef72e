// One device as the CUDA half of an op sees it: the stream that all work is put on, and memory that
// ops borrow. Nothing here waits unless it says so.
#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuda/launch.h"

namespace keyheads::cuda {

struct Lt;  // cuBLASLt, where it was found (cuda/gemm.h)

// Throws what CUDA says.
void check(cudaError_t status, const char* what);

struct Queue {
  explicit Queue(int device) : ordinal(device) {}
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  // Device memory of this op until it ends; not initialised, 256-byte aligned.
  void* scratch(size_t bytes);
  template <class T>
  T* scratch(int64_t count) {
    return static_cast<T*>(scratch(static_cast<size_t>(count) * sizeof(T)));
  }
  // Host values as this op's kernels see them.
  template <class T>
  const T* upload(const T* host, int64_t count) {
    if (count == 0 || !host) return nullptr;
    T* to = scratch<T>(count);
    upload_bytes(to, host, static_cast<size_t>(count) * sizeof(T));
    return to;
  }
  // Waits for what was queued.
  template <class T>
  void download(T* host, const T* from, int64_t count) {
    download_bytes(host, from, static_cast<size_t>(count) * sizeof(T));
  }
  void upload_bytes(void* to, const void* host, size_t bytes);
  // `lines` of `bytes` each, which begin `step` bytes apart; dense then.
  void upload_lines(void* to, const void* host, size_t bytes, size_t step, size_t lines);
  void download_bytes(void* host, const void* from, size_t bytes);

  // Called around every op.
  void begin_op() { used_ = 0; }
  int64_t scratch_bytes() const;
  void drop_scratch();

  int ordinal;
  cudaStream_t stream = nullptr;
  Lt* lt = nullptr;   // null: products are computed by the library's own kernels
  bool tf32 = false;  // of this op: products of floats may round what they multiply
  std::string error;

 private:
  // Pieces are added as an op needs them, and joined to one when the next op begins.
  struct Piece {
    char* memory;
    size_t bytes;
  };
  std::vector<Piece> pieces_;
  size_t used_ = 0;  // of all pieces, in their order
};

// After a launch.
inline void check_launch(const char* op) { check(cudaGetLastError(), op); }

// Runs `work` and turns what it throws into the text of a failure.
template <class Work>
const char* guarded(Queue& queue, const Work& work) {
  try {
    check(cudaSetDevice(queue.ordinal), "device");  // of the calling thread
    queue.begin_op();
    work();
    return nullptr;
  } catch (const std::exception& e) {
    queue.error = e.what();
    return queue.error.c_str();
  }
}

}  // namespace keyheads::cuda
