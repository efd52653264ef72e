#include <algorithm>

#include "cuda/queue.h"

namespace keyheads::cuda {
namespace {

constexpr size_t kAlign = 256;
constexpr size_t kSmallest = size_t{1} << 20;

}  // namespace

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  throw std::runtime_error(std::string(what) + ": " + cudaGetErrorName(status) + " (" +
                           cudaGetErrorString(status) + ")");
}

void* Queue::scratch(size_t bytes) {
  bytes = (std::max<size_t>(bytes, 1) + kAlign - 1) / kAlign * kAlign;
  // Work in the stream's order: what the last op borrowed is free once its kernels have run, which
  // is before those of this op.
  if (used_ == 0 && pieces_.size() > 1) {
    const size_t total = static_cast<size_t>(scratch_bytes());
    drop_scratch();
    pieces_.push_back({nullptr, 0});
    check(cudaMalloc(reinterpret_cast<void**>(&pieces_[0].memory), total), "scratch");
    pieces_[0].bytes = total;
  }
  size_t begin = 0;
  for (const Piece& piece : pieces_) {
    const size_t at = std::max(used_, begin) - begin;
    if (at + bytes <= piece.bytes) {
      used_ = begin + at + bytes;
      return piece.memory + at;
    }
    begin += piece.bytes;
  }
  Piece piece{nullptr, std::max({bytes, kSmallest, begin})};
  check(cudaMalloc(reinterpret_cast<void**>(&piece.memory), piece.bytes), "scratch");
  pieces_.push_back(piece);
  used_ = begin + bytes;
  return piece.memory;
}

int64_t Queue::scratch_bytes() const {
  size_t total = 0;
  for (const Piece& piece : pieces_) total += piece.bytes;
  return static_cast<int64_t>(total);
}

void Queue::drop_scratch() {
  check(cudaStreamSynchronize(stream), "scratch");
  for (const Piece& piece : pieces_) cudaFree(piece.memory);
  pieces_.clear();
  used_ = 0;
}

// From pageable memory CUDA copies to a buffer of its own first: `host` is free on return. Pinned
// memory is read when the stream comes to it.
void Queue::upload_bytes(void* to, const void* host, size_t bytes) {
  check(cudaMemcpyAsync(to, host, bytes, cudaMemcpyHostToDevice, stream), "upload");
}

void Queue::upload_lines(void* to, const void* host, size_t bytes, size_t step, size_t lines) {
  if (bytes == step || lines == 1) return upload_bytes(to, host, bytes * lines);
  check(cudaMemcpy2DAsync(to, bytes, host, step, bytes, lines, cudaMemcpyHostToDevice, stream),
        "upload");
}

void Queue::download_bytes(void* host, const void* from, size_t bytes) {
  check(cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost, stream), "download");
  check(cudaStreamSynchronize(stream), "download");
}

}  // namespace keyheads::cuda
