// Named tensors of one op call, for a test. Values are drawn from the name, rounded to float, so
// that a float and a double call get the same; every matrix has a stride wider than its columns and
// begins off alignment; whatever lies between and around is checked to stay untouched.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/device.h"
#include "base/view.h"
#include "random.h"

namespace keyheads::test {

// While it is set, tensors are made for calls on this device, in memory that the host sees too.
inline Device* device_of_tensors = nullptr;

// While it is set, rows begin at multiples of 16 bytes, so that they can be read in vectors.
inline bool aligned_tensors = false;

// By address, what is not the host's own.
inline std::map<void*, std::shared_ptr<void>>& shared_blocks() {
  static std::map<void*, std::shared_ptr<void>> blocks;
  return blocks;
}

// Memory at multiples of 64 bytes, as weights have it in the engine.
template <class T>
struct Aligned {
  using value_type = T;
  Aligned() = default;
  template <class U>
  Aligned(const Aligned<U>&) {}
  T* allocate(size_t n) {
    if (device_of_tensors) {
      const std::shared_ptr<void> block = device_of_tensors->allocate_shared(n * sizeof(T));
      shared_blocks()[block.get()] = block;
      return static_cast<T*>(block.get());
    }
    return static_cast<T*>(::operator new(n * sizeof(T), std::align_val_t(64)));
  }
  void deallocate(T* p, size_t) {
    if (shared_blocks().erase(p) == 0) ::operator delete(p, std::align_val_t(64));
  }
  friend bool operator==(const Aligned&, const Aligned&) { return true; }
};
template <class T>
using Memory = std::vector<T, Aligned<T>>;

// What an op does with a tensor.
enum class Role {
  in,     // reads it; differentiable
  fixed,  // reads it
  out,    // writes it; the backward pass is given its gradient
  saved,  // writes it; for the backward pass
  inout,  // reads and writes it
  sets,   // gradient of an `in` tensor: overwritten
  adds,   // gradient of an `in` tensor: added to
  cotangent,
};

inline bool is_written(Role role) {
  return role == Role::out || role == Role::saved || role == Role::inout || role == Role::sets ||
         role == Role::adds;
}

template <class T>
struct Field {
  std::string name;
  Role role;
  int64_t rows, cols;
  bool packed = false;
  int64_t row0 = 0, col0 = 0;  // of a gradient: where it lies in its tensor
  int64_t begin = 0, stride = 0;
  Memory<T> memory{};
  Memory<T> start{};  // the values before the call

  T& at(int64_t r, int64_t c) {
    if (packed) return panels().at(r, c);
    return memory[static_cast<size_t>(begin + r * stride + c)];
  }
  Mat<T> mat() { return {memory.data() + begin, rows, cols, stride}; }
  Panels<T> panels() { return {memory.data() + begin, rows, cols}; }

  // What an op is given for a weight. The bfloat16 of one lie in a copy, made by the first call.
  Storage storage = Storage::full;
  Memory<Bf16Pair> pairs{};
  // Devices have weights row by row, without panels.
  bool on_device = device_of_tensors != nullptr;
  Memory<float> lines{};
  Memory<uint16_t> short_lines{};
  Weight<T> weight() {
    if (on_device) return in_lines();
    if constexpr (sizeof(T) == sizeof(float)) {
      if (storage == Storage::bf16) return narrowed();
    }
    return {memory.data() + begin, rows, cols, Storage::full};
  }
  Weight<T> in_lines() {
    const bool narrow = storage == Storage::bf16;
    if (lines.empty() && short_lines.empty()) {
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < cols; ++c) {
          const auto x = static_cast<float>(panels().at(r, c));
          narrow ? short_lines.push_back(static_cast<uint16_t>(round_to_bf16(x)))
                 : lines.push_back(x);
        }
      }
    }
    return {narrow ? static_cast<void*>(short_lines.data()) : lines.data(), rows, cols, storage};
  }
  // What an op was given for a weight, as it is now.
  T stored(int64_t r, int64_t c) {
    const auto i = static_cast<size_t>(r * cols + c);
    if (!lines.empty()) return static_cast<T>(lines[i]);
    if (!short_lines.empty()) {
      return static_cast<T>(Bf16Pair::widen(uint32_t{short_lines[i]} << 16));
    }
    if (pairs.empty()) return panels().at(r, c);
    return static_cast<T>(read_element(Panels<Bf16Pair>{pairs.data(), rows, cols}, r, c));
  }
  void store(int64_t r, int64_t c, float value) {
    const auto i = static_cast<size_t>(r * cols + c);
    if (!lines.empty()) {
      lines[i] = value;
    } else if (!short_lines.empty()) {
      short_lines[i] = static_cast<uint16_t>(round_to_bf16(value));
    } else if (!pairs.empty()) {
      write_element(Panels<Bf16Pair>{pairs.data(), rows, cols}, r, c, value);
    } else {
      panels().at(r, c) = static_cast<T>(value);
    }
  }
  // What the device made of a weight, back into the panels.
  void collect() {
    for (int64_t r = 0; r < rows && (!lines.empty() || !short_lines.empty()); ++r) {
      for (int64_t c = 0; c < cols; ++c) panels().at(r, c) = stored(r, c);
    }
  }
  Weight<T> narrowed() {
    Panels<Bf16Pair> w{pairs.data(), rows, cols};
    if (pairs.empty()) {
      pairs.assign(static_cast<size_t>(w.size()), {0});
      w.data = pairs.data();
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < cols; ++c) write_element(w, r, c, panels().at(r, c));
      }
    }
    return {w.data, rows, cols, Storage::bf16};
  }
};

template <class T>
class Buffers {
 public:
  using Value = std::function<double(int64_t r, int64_t c)>;

  bool bf16 = false;  // whether values are rounded to it

  Field<T>& add(Role role, const std::string& name, int64_t rows, int64_t cols, bool packed = false,
                const Value& value = nullptr) {
    Field<T>& f = fields_[name];
    f = {.name = name, .role = role, .rows = rows, .cols = cols, .packed = packed};
    const int64_t lines = packed ? (rows + kPanel - 1) / kPanel * kPanel : rows;
    f.stride = packed || rows == 1 ? cols : aligned_tensors ? (cols + 7) / 4 * 4 : cols + 3;
    f.begin = packed || aligned_tensors ? 16 : 5;
    f.memory.assign(static_cast<size_t>(f.begin + lines * f.stride + 16), canary());
    if (packed) {
      std::memset(f.memory.data() + f.begin, 0, static_cast<size_t>(lines * cols) * sizeof(T));
    }
    const bool drawn = role == Role::in || role == Role::fixed || role == Role::inout ||
                       role == Role::adds || role == Role::cotangent;
    const double* normal = value || !drawn ? nullptr : normals(name, rows * cols).data();
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < cols; ++c) {
        const auto x = static_cast<float>(value    ? value(r, c)
                                          : normal ? normal[r * cols + c]
                                                   : kGarbage);
        f.at(r, c) = static_cast<T>(bf16 ? rounded_to_bf16(x) : x);
      }
    }
    f.start = f.memory;
    return f;
  }
  void in(const std::string& name, int64_t rows, int64_t cols, const Value& value = nullptr) {
    add(Role::in, name, rows, cols, false, value);
  }
  void fixed(const std::string& name, int64_t rows, int64_t cols, const Value& value = nullptr) {
    add(Role::fixed, name, rows, cols, false, value);
  }
  // With bfloat16 storage the values are rounded to it, whatever T.
  void weight(const std::string& name, int64_t rows, int64_t cols,
              Storage storage = Storage::full) {
    const double* normal = normals(name, rows * cols).data();
    add(Role::in, name, rows, cols, true, [&](int64_t r, int64_t c) {
      const auto x = static_cast<float>(normal[r * cols + c]);
      return storage == Storage::bf16 ? rounded_to_bf16(x) : x;
    }).storage = storage;
  }
  void out(const std::string& name, int64_t rows, int64_t cols) {
    add(Role::out, name, rows, cols);
    add(Role::cotangent, "d" + name, rows, cols);
  }
  void saved(const std::string& name, int64_t rows, int64_t cols) {
    add(Role::saved, name, rows, cols);
  }
  void inout(const std::string& name, int64_t rows, int64_t cols, const Value& value = nullptr) {
    add(Role::inout, name, rows, cols, false, value);
  }
  // The gradient "dname" of a whole tensor, or of the slice rows x cols of it at (row0, col0).
  void gradient(Role role, const std::string& name, int64_t rows = -1, int64_t cols = -1,
                int64_t row0 = 0, int64_t col0 = 0) {
    Field<T>& of = field(name);
    Field<T>& f = add(role, "d" + name, rows < 0 ? of.rows : rows, cols < 0 ? of.cols : cols);
    f.row0 = row0;
    f.col0 = col0;
  }
  void ints(const std::string& name, std::vector<int32_t> values) {
    ints_[name] = std::move(values);
  }

  Field<T>& field(const std::string& name) {
    const auto found = fields_.find(name);
    if (found == fields_.end()) throw std::logic_error("the case declares no " + name);
    return found->second;
  }
  bool has(const std::string& name) const { return fields_.count(name) != 0; }
  std::map<std::string, Field<T>>& fields() { return fields_; }

  Mat<T> operator[](const std::string& name) { return field(name).mat(); }
  Panels<T> panels(const std::string& name) { return field(name).panels(); }
  Weight<T> weight(const std::string& name) { return field(name).weight(); }
  T* ptr(const std::string& name) { return has(name) ? field(name).mat().data : nullptr; }
  std::vector<int32_t>& int_vector(const std::string& name) { return ints_.at(name); }
  const int32_t* ints(const std::string& name) { return ints_.at(name).data(); }

  // First place outside the tensor's elements, or in the elements of a tensor that is only read,
  // that the op changed; empty if there is none.
  std::string touched() {
    for (auto& [name, f] : fields_) {
      Memory<T> expected = f.start;
      if (is_written(f.role)) {
        for (int64_t r = 0; r < f.rows; ++r) {
          for (int64_t c = 0; c < f.cols; ++c) {
            expected[static_cast<size_t>(&f.at(r, c) - f.memory.data())] = f.at(r, c);
          }
        }
      }
      if (std::memcmp(expected.data(), f.memory.data(), expected.size() * sizeof(T)) == 0) continue;
      for (size_t i = 0; i < expected.size(); ++i) {
        if (std::memcmp(&expected[i], &f.memory[i], sizeof(T)) != 0) {
          return name + " at " + std::to_string(static_cast<int64_t>(i) - f.begin);
        }
      }
    }
    return "";
  }

  static constexpr double kGarbage = std::numeric_limits<double>::quiet_NaN();

 private:
  static T canary() { return static_cast<T>(12345.678f); }

  std::map<std::string, Field<T>> fields_;
  std::map<std::string, std::vector<int32_t>> ints_;
};

}  // namespace keyheads::test
