// A library with the functions of cuBLASLt that are used, which computes by the plain formula on
// the host: with KEYHEADS_CUBLASLT it shows, without a GPU, that products are asked for as
// documented. It refuses bf16 in rows that are not 16-byte aligned, so that the way around is taken
// too.
#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "base/view.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

using keyheads::Bf16Pair;

struct Description {
  bool tf32 = false;
  int32_t transposed_a = 0, transposed_b = 0;
  uint32_t epilogue = 1;
  const float* bias = nullptr;
};
// Column-major.
struct Layout {
  int type;
  uint64_t rows, cols;
  int64_t stride;
};
constexpr int kBf16 = 14, kNotSupported = 15, kInvalid = 7;
constexpr uint64_t kMark = 0x6b6579686561640au;

float to_tf32(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  bits = (bits + 0x1000u) & ~0x1fffu;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

float at(const void* data, const Layout& layout, bool transposed, uint64_t i, uint64_t j,
         bool tf32) {
  const int64_t index = static_cast<int64_t>(transposed ? j : i) +
                        static_cast<int64_t>(transposed ? i : j) * layout.stride;
  if (layout.type != kBf16) {
    const float x = static_cast<const float*>(data)[index];
    return tf32 ? to_tf32(x) : x;
  }
  return Bf16Pair::widen(uint32_t{static_cast<const uint16_t*>(data)[index]} << 16);
}

// Memory of the CPU in place of a GPU is closed outside of kernels.
void open_pages(const void* data, const Layout& layout) {
  constexpr uintptr_t kPage = 4096;
  const size_t bytes = static_cast<size_t>(layout.stride) * layout.cols * 4;
  const uintptr_t begin = reinterpret_cast<uintptr_t>(data) / kPage * kPage;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(data) + bytes + kPage - 1) / kPage * kPage;
  for (uintptr_t page = begin; page < end; page += kPage) {
    mprotect(reinterpret_cast<void*>(page), kPage, PROT_READ | PROT_WRITE);
  }
}

}  // namespace

EXPORT size_t cublasLtGetVersion() { return 130000; }
EXPORT int cublasLtCreate(void** handle) {
  *handle = new int;
  return 0;
}
EXPORT int cublasLtMatmulDescCreate(void** made, int compute, int scale) {
  *made = new Description{.tf32 = compute == 77};
  return (compute == 68 || compute == 77) && scale == 0 ? 0 : kInvalid;
}
EXPORT int cublasLtMatmulDescDestroy(void* d) {
  delete static_cast<Description*>(d);
  return 0;
}
EXPORT int cublasLtMatmulDescSetAttribute(void* to, int attribute, const void* value,
                                          size_t bytes) {
  auto* d = static_cast<Description*>(to);
  const auto set = [&](auto& field) {
    if (bytes != sizeof field) return kInvalid;
    std::memcpy(&field, value, bytes);
    return 0;
  };
  switch (attribute) {
    case 3:
      return set(d->transposed_a);
    case 4:
      return set(d->transposed_b);
    case 7:
      return set(d->epilogue);
    case 8:
      return set(d->bias);
    default:
      return kInvalid;
  }
}
EXPORT int cublasLtMatrixLayoutCreate(void** made, int type, uint64_t rows, uint64_t cols,
                                      int64_t stride) {
  *made = new Layout{type, rows, cols, stride};
  return (type == 0 || type == kBf16) && static_cast<uint64_t>(stride) >= rows ? 0 : kInvalid;
}
EXPORT int cublasLtMatrixLayoutDestroy(void* layout) {
  delete static_cast<Layout*>(layout);
  return 0;
}
EXPORT int cublasLtMatmulPreferenceCreate(void** made) {
  *made = new std::vector<uint32_t>(16);
  return 0;
}
EXPORT int cublasLtMatmulPreferenceDestroy(void* preference) {
  delete static_cast<std::vector<uint32_t>*>(preference);
  return 0;
}
EXPORT int cublasLtMatmulPreferenceSetAttribute(void* preference, int attribute, const void* value,
                                                size_t bytes) {
  if (bytes != (attribute == 1 ? 8u : 4u) || attribute < 1 || attribute > 8) return kInvalid;
  std::memcpy(&(*static_cast<std::vector<uint32_t>*>(preference))[static_cast<size_t>(attribute)],
              value, 4);
  return 0;
}
EXPORT int cublasLtMatmulAlgoGetHeuristic(void*, void*, void* a, void*, void*, void*,
                                          void* preference, int wanted, void* results, int* found) {
  const auto& values = *static_cast<std::vector<uint32_t>*>(preference);
  *found = 0;
  if (static_cast<Layout*>(a)->type == kBf16 && (values[5] < 16 || values[6] < 16)) {
    return kNotSupported;
  }
  if (wanted < 1 || values[7] < 4 || values[7] != values[8]) return kInvalid;
  struct {
    uint64_t algorithm[8];
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
  } result{{kMark}, 512, 0, 1, {}};
  std::memcpy(results, &result, sizeof result);
  *found = 1;
  return 0;
}
EXPORT int cublasLtMatmul(void*, void* description, const void* alpha, const void* a,
                          void* a_layout, const void* b, void* b_layout, const void* beta,
                          const void* c, void*, void* d, void* d_layout, const void* algorithm,
                          void* workspace, size_t workspace_bytes, void*) {
  const auto& how = *static_cast<Description*>(description);
  const Layout &left = *static_cast<Layout*>(a_layout), &right = *static_cast<Layout*>(b_layout);
  const Layout& out = *static_cast<Layout*>(d_layout);
  const uint64_t depth = how.transposed_a ? left.rows : left.cols;
  const float by = *static_cast<const float*>(beta);
  uint64_t mark;
  std::memcpy(&mark, algorithm, sizeof mark);
  if (how.tf32 && (left.type == kBf16 || right.type == kBf16)) return kInvalid;
  if (mark != kMark || !workspace || workspace_bytes != 512 || c != d ||
      *static_cast<const float*>(alpha) != 1 ||
      (how.transposed_a ? left.cols : left.rows) != out.rows ||
      (how.transposed_b ? right.rows : right.cols) != out.cols ||
      (how.transposed_b ? right.cols : right.rows) != depth) {
    return kInvalid;
  }
  open_pages(a, left);
  open_pages(b, right);
  open_pages(d, out);
  for (uint64_t i = 0; i < out.rows; ++i) {
    for (uint64_t j = 0; j < out.cols; ++j) {
      double sum = how.epilogue == 4 ? how.bias[i] : 0;
      for (uint64_t p = 0; p < depth; ++p) {
        sum += static_cast<double>(at(a, left, how.transposed_a, i, p, how.tf32)) *
               at(b, right, how.transposed_b, p, j, how.tf32);
      }
      float& to = static_cast<float*>(d)[i + j * static_cast<uint64_t>(out.stride)];
      to = static_cast<float>(by == 0 ? sum : sum + by * to);
    }
  }
  return 0;
}
