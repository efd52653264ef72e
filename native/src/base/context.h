#pragma once
#include <atomic>
#include <cstdint>
#include <functional>

namespace keyheads {

// v2 to v4_bf16: x86-64, the last with bfloat16 products (AVX512_BF16). neon: 64-bit Arm.
enum class Isa : uint8_t { v2, v3, v4, v4_bf16, neon };

class Device;
class Pool;

// What every op is given: where to run, and the signals of the call it belongs to.
struct Context {
  Isa isa;
  Pool* pool;                // never null
  Device* device = nullptr;  // null: the CPU
  bool tf32 = false;         // of a device: products of floats may round their factors to TF32
  const std::atomic<bool>* cancelled = nullptr;
  std::function<void(int64_t done, int64_t total)> progress;
  bool planning = false;  // memory is counted (MemoryPlan), nothing is computed
};

// Throws CANCELLED; called between layers and between chunks of a sweep.
void check_cancelled(const Context& ctx);

}  // namespace keyheads
