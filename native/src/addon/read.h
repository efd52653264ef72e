// JavaScript objects to C++ values. Everything is checked: a request of the wrong shape is an error
// that names the field, never a crash.
#pragma once
#include <napi.h>

#include <optional>
#include <string>
#include <vector>

#include "model/batch.h"
#include "model/forward.h"
#include "model/slots.h"
#include "model/sweep.h"
#include "model/weights.h"
#include "train/trainer.h"

namespace keyheads::addon {

// An object of a request, and where it stands in it.
struct Reader {
  Napi::Object object;
  std::string path;

  static Reader of(const Napi::Value& value, std::string path);
  bool has(const char* field) const;
  Napi::Value get(const char* field) const;
  Reader child(const char* field) const;
  std::vector<Reader> list(const char* field) const;
  double number(const char* field) const;
  int64_t integer(const char* field) const;
  bool boolean(const char* field, bool fallback) const;
  std::string text(const char* field) const;
  std::vector<int32_t> ints(const char* field) const;
  // Float32Array or Float64Array, converted to T.
  template <class T>
  std::vector<T> floats(const char* field) const;
  // The same as a tensor, (1, size).
  template <class T>
  Tensor<T> tensor(const char* field) const;
};

// Which device of which CUDA library (DeviceRequest of binding.ts).
struct DeviceChoice {
  std::string library;
  int ordinal;
  std::string cublaslt;
  bool tf32;
};
std::optional<DeviceChoice> to_device(const Reader& r, const char* field);
Spec to_spec(const Reader& r);
std::vector<TensorSource> to_sources(const Reader& r, const char* field);
Batch to_batch(const Reader& r);
std::vector<Site> to_sites(const Reader& r, const char* field);
struct Control;
// Functions among the edits are numbered and left in `control`.
template <class T>
std::vector<Edit<T>> to_edits(const Reader& r, const char* field, Control& control);
// Where a run starts and stops (`start`, `stopAtLayer`).
template <class T>
Range<T> to_range(const Reader& r);
Readout to_readout(const Reader& r, bool rows_given);
template <class T>
Objective<T> to_objective(const Reader& r);
// What `directions` and the gradient sites' `along` say; nothing without the former.
template <class T>
std::optional<Directions<T>> to_directions(const Reader& r);
BackwardRules to_rules(const Reader& r, const char* field);
template <class T>
SweepRequest<T> to_sweep(const Reader& r);
SlotRef to_slot(const Reader& r);
std::vector<Slice> to_slices(const Reader& r);
UpdateRequest to_update(const Reader& r);
template <class T>
TrainerState<T> to_state(const Reader& r);

}  // namespace keyheads::addon
