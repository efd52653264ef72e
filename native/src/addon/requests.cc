#include <algorithm>
#include <array>
#include <string_view>

#include "addon/read.h"
#include "addon/run.h"
#include "base/check.h"

namespace keyheads::addon {
namespace {

// Index of a word among the allowed ones.
template <size_t N>
size_t choice(const Reader& r, const char* field, const std::array<std::string_view, N>& allowed) {
  const std::string given = r.text(field);
  const auto found = std::find(allowed.begin(), allowed.end(), given);
  if (found != allowed.end()) return static_cast<size_t>(found - allowed.begin());
  std::string list;
  for (const auto& word : allowed) list += (list.empty() ? "" : ", ") + std::string(word);
  fail("BAD_ARGUMENT", r.path, ".", field, ": '", given, "' is not one of ", list);
}

int64_t positive(const Reader& r, const char* field) {
  const int64_t value = r.integer(field);
  if (value < 1) fail("BAD_ARGUMENT", r.path, ".", field, ": expected at least 1, found ", value);
  return value;
}

void to_site(const Reader& r, Site& site) {
  const int64_t hook = r.integer("hook");
  if (hook < 0 || hook >= kHookCount) {
    fail("BAD_ARGUMENT", r.path, ".hook: ", hook, " is no hook; there are ", kHookCount);
  }
  site.hook = static_cast<Hook>(hook);
  site.layer = r.integer("layer");
  if (r.has("heads")) {
    site.heads = r.ints("heads");
  } else if (const int64_t head = r.integer("head"); head != -1) {
    site.heads = {static_cast<int32_t>(head)};
  }
  if (r.has("columns")) site.columns = r.ints("columns");
  site.all_rows = !r.has("rows");
  if (!site.all_rows) site.rows = r.ints("rows");
}

std::pair<int64_t, int64_t> to_range(const Reader& r, const char* field) {
  const Napi::Value value = r.get(field);
  const bool pair = value.IsArray() && value.As<Napi::Array>().Length() == 2;
  if (!pair) fail("BAD_ARGUMENT", r.path, ".", field, ": expected [start, stop]");
  const auto array = value.As<Napi::Array>();
  return {array.Get(0u).ToNumber().Int64Value(), array.Get(1u).ToNumber().Int64Value()};
}

}  // namespace

std::optional<DeviceChoice> to_device(const Reader& r, const char* field) {
  if (!r.has(field)) return {};
  const Reader d = r.child(field);
  return DeviceChoice{d.text("library"), static_cast<int>(d.integer("ordinal")),
                      d.has("cublasLt") ? d.text("cublasLt") : std::string(),
                      d.boolean("tf32", false)};
}

Spec to_spec(const Reader& r) {
  Spec s{};
  s.layers = positive(r, "layers");
  s.d_model = positive(r, "dModel");
  s.heads = positive(r, "heads");
  s.kv_heads = positive(r, "kvHeads");
  s.d_head = positive(r, "dHead");
  s.d_mlp = positive(r, "dMlp");
  s.vocab = positive(r, "vocab");
  s.context = positive(r, "context");
  s.layer_norm = choice<2>(r, "norm", {"rms", "layer"}) == 1;
  s.norm_eps = r.number("normEps");
  s.norm_plus_one = r.boolean("normPlusOne", false);
  const size_t placement = choice<3>(r, "normPlacement", {"pre", "post", "both"});
  s.pre_norm = placement != 1;
  s.post_norm = placement != 0;
  s.parallel = choice<2>(r, "block", {"sequential", "parallel"}) == 1;
  s.shared_norm = r.boolean("sharedNorm", false);
  s.qk_norm = static_cast<QkNorm>(choice<4>(r, "qkNorm", {"none", "head", "heads", "width"}));
  s.rotary = choice<2>(r, "position", {"learned", "rotary"}) == 1;
  s.position_offset = r.integer("positionOffset");
  s.inverse_frequencies = r.floats<double>("inverseFrequencies");
  s.adjacent_pairs = choice<2>(r, "rotaryPairs", {"halves", "adjacent"}) == 1;
  s.rotary_scale = r.number("rotaryScale");
  s.activation = std::array{
      ops::Activation::gelu, ops::Activation::gelu_new, ops::Activation::relu,
      ops::Activation::silu}[choice<4>(r, "activation", {"gelu", "gelu_new", "relu", "silu"})];
  s.gated = r.boolean("gated", false);
  s.experts = r.integer("experts");
  s.experts_per_token = r.integer("expertsPerToken");
  s.attention_scales = r.floats<double>("attentionScales");
  s.score_cap = r.number("scoreCap");
  s.logit_cap = r.number("logitCap");
  s.embed_scale = r.number("embedScale");
  for (const int32_t window : r.ints("windows")) s.windows.push_back(window);
  s.tied = r.boolean("tied", false);
  if (s.heads % s.kv_heads != 0) {
    fail("BAD_ARGUMENT", r.path, ": ", s.heads, " query heads cannot share ", s.kv_heads,
         " key/value heads");
  }
  if (static_cast<int64_t>(s.attention_scales.size()) != s.layers) {
    fail("BAD_ARGUMENT", r.path, ".attentionScales: ", s.attention_scales.size(), " scales for ",
         s.layers, " layers");
  }
  if (static_cast<int64_t>(s.windows.size()) != s.layers) {
    fail("BAD_ARGUMENT", r.path, ".windows: ", s.windows.size(), " windows for ", s.layers,
         " layers");
  }
  if (s.shared_norm && !s.pre_norm) {
    fail("BAD_ARGUMENT", r.path, ".sharedNorm: there is no norm to share without norms of what ",
         "attention and MLP read; normPlacement must be pre or both");
  }
  if (s.experts < 0 || (s.experts == 0) != (s.experts_per_token == 0) || s.experts_per_token < 0 ||
      s.experts_per_token > s.experts) {
    fail("BAD_ARGUMENT", r.path, ": a token cannot use ", s.experts_per_token, " of ", s.experts,
         " experts");
  }
  const auto half = static_cast<int64_t>(s.inverse_frequencies.size());
  if (s.rotary && (half < 1 || 2 * half > s.d_head)) {
    fail("BAD_ARGUMENT", r.path, ".inverseFrequencies: ", half, " frequencies for heads of ",
         s.d_head);
  }
  return s;
}

SlotRef to_slot(const Reader& r) {
  return {r.text("slot"), r.integer("layer"), r.has("expert") ? r.integer("expert") : -1};
}

std::vector<TensorSource> to_sources(const Reader& r, const char* field) {
  std::vector<TensorSource> out;
  for (const Reader& t : r.list(field)) {
    const auto [first, last] = to_range(t, "rows");
    TensorSource s{to_slot(t),
                   {first, last},
                   t.text("file"),
                   t.integer("offset"),
                   t.text("dtype"),
                   {},
                   t.boolean("transpose", false),
                   t.integer("start"),
                   t.integer("length"),
                   t.integer("stride")};
    const Napi::Value shape = t.get("shape");
    if (!shape.IsArray()) fail("BAD_ARGUMENT", t.path, ".shape: expected an array");
    const auto dims = shape.As<Napi::Array>();
    for (uint32_t i = 0; i < dims.Length(); ++i) {
      s.shape.push_back(dims.Get(i).ToNumber().Int64Value());
    }
    out.push_back(std::move(s));
  }
  return out;
}

Batch to_batch(const Reader& r) {
  Batch b{r.ints("tokens"), r.ints("offsets")};
  bool ascending = !b.offsets.empty() && b.offsets.front() == 0 &&
                   b.offsets.back() == static_cast<int64_t>(b.tokens.size());
  for (size_t i = 1; ascending && i < b.offsets.size(); ++i) {
    ascending = b.offsets[i - 1] < b.offsets[i];
  }
  if (!ascending) {
    fail("BAD_ARGUMENT", r.path, ".offsets: must rise from 0 to the ", b.tokens.size(),
         " tokens, without empty sequences");
  }
  return b;
}

std::vector<Site> to_sites(const Reader& r, const char* field) {
  std::vector<Site> out;
  if (!r.has(field)) return out;
  for (const Reader& s : r.list(field)) to_site(s, out.emplace_back());
  return out;
}

// An edit that runs function number `function` of the call.
template <class T>
auto caller(const std::shared_ptr<Pause>& pause, size_t function) {
  return [pause, function](const Context& ctx, const Tensor<T>& values) {
    const Outcome outcome = pause->fire(
        ctx, function,
        {values.hold, values.data(), static_cast<size_t>(values.size()), sizeof(T) == 8});
    return outcome == Outcome::replaced ? CallResult::replaced : CallResult::edited;
  };
}

template <class T>
std::vector<Edit<T>> to_edits(const Reader& r, const char* field, Control& control) {
  std::vector<Edit<T>> out;
  if (!r.has(field)) return out;
  for (const Reader& e : r.list(field)) {
    Edit<T>& edit = out.emplace_back();
    to_site(e, edit.site);
    edit.op = static_cast<EditOp>(
        choice<7>(e, "op", {"zero", "set", "add", "scale", "mean", "interpolate", "call"}));
    if (edit.op == EditOp::call) {
      const Napi::Value function = e.get("call");
      if (!function.IsFunction()) fail("BAD_ARGUMENT", e.path, ".call: expected a function");
      if (e.has("gradient") && choice<2>(e, "gradient", {"unchanged", "pass"}) == 1) {
        edit.gradient = CallGradient::pass;
      }
      if (!control.pause) {
        control.pause = std::make_shared<Pause>(Environment::of(r.object.Env()), control.job);
      }
      edit.call = caller<T>(control.pause, control.functions.size());
      control.functions.push_back(function.As<Napi::Function>());
    }
    if (e.has("value")) edit.value = e.floats<T>("value");
    if (edit.op == EditOp::scale || edit.op == EditOp::interpolate) {
      edit.factor = static_cast<T>(e.number("factor"));
    }
  }
  return out;
}

template <class T>
Range<T> to_range(const Reader& r) {
  Range<T> out;
  if (r.has("stopAtLayer")) {
    out.last = r.integer("stopAtLayer");
    if (out.last < 0) fail("BAD_ARGUMENT", r.path, ".stopAtLayer: expected a layer");
  }
  if (!r.has("start")) return out;
  const Reader start = r.child("start");
  out.first = start.integer("layer");
  out.residual = start.tensor<T>("residual");
  return out;
}

Readout to_readout(const Reader& r, bool rows_given) {
  Readout out;
  out.wanted = true;
  if (rows_given) out.rows = r.ints("rows");
  out.logits = static_cast<LogitsWanted>(choice<3>(r, "logits", {"none", "tokens", "all"}));
  if (out.logits == LogitsWanted::tokens) out.tokens = r.ints("tokens");
  out.argmax = r.boolean("argmax", false);
  out.logsumexp = r.boolean("logsumexp", false);
  const size_t rows = out.rows.size();
  if (rows_given && (rows ? out.tokens.size() % rows != 0 : !out.tokens.empty())) {
    fail("BAD_ARGUMENT", r.path, ".tokens: ", out.tokens.size(), " tokens for ", rows, " rows");
  }
  return out;
}

template <class T>
Objective<T> to_objective(const Reader& r) {
  const auto kind =
      static_cast<ObjectiveKind>(choice<3>(r, "kind", {"cross-entropy", "logits", "residual"}));
  return {kind, r.ints("rows"), r.ints("targets"), r.floats<T>("weights")};
}

template <class T>
std::optional<Directions<T>> to_directions(const Reader& r) {
  Directions<T> out;
  for (const Reader& site : r.list("gradients")) {
    out.along.emplace_back();
    if (!site.has("along")) continue;
    if (!r.has("directions")) fail("BAD_ARGUMENT", site.path, ".along: there are no directions");
    out.along.back() = to_range(site, "along");
  }
  if (!r.has("directions")) return {};
  const Reader given = r.child("directions");
  out.count = given.integer("count");
  out.values = given.tensor<T>("values");
  return out;
}

BackwardRules to_rules(const Reader& r, const char* field) {
  BackwardRules out;
  if (!r.has(field)) return out;
  const Napi::Value value = r.get(field);
  if (!value.IsArray()) fail("BAD_ARGUMENT", r.path, ".", field, ": expected an array of names");
  const std::array<std::pair<std::string_view, bool BackwardRules::*>, 5> rules = {{
      {"constant-patterns", &BackwardRules::constant_patterns},
      {"constant-norm-scales", &BackwardRules::constant_norm_scales},
      {"constant-z", &BackwardRules::constant_z},
      {"constant-mlps", &BackwardRules::constant_mlps},
      {"secant-activations", &BackwardRules::secant_activations},
  }};
  const auto names = value.As<Napi::Array>();
  for (uint32_t i = 0; i < names.Length(); ++i) {
    const std::string name = names.Get(i).ToString().Utf8Value();
    const auto found = std::find_if(rules.begin(), rules.end(),
                                    [&](const auto& rule) { return rule.first == name; });
    if (found == rules.end()) {
      std::string list;
      for (const auto& rule : rules) list += (list.empty() ? "" : ", ") + std::string(rule.first);
      fail("BAD_ARGUMENT", r.path, ".", field, ": '", name, "' is not one of ", list);
    }
    out.*found->second = true;
  }
  return out;
}

namespace {

template <class T>
SweepEdit<T> to_sweep_edit(const Reader& r) {
  SweepEdit<T> edit;
  to_site(r, edit.site);
  edit.op = static_cast<EditOp>(
      choice<6>(r, "op", {"zero", "set", "add", "scale", "mean", "interpolate"}));
  if (edit.op == EditOp::scale || edit.op == EditOp::interpolate) {
    edit.factor = static_cast<T>(r.number("factor"));
  }
  if (!r.has("value")) return edit;
  const Reader v = r.child("value");
  edit.value = static_cast<int32_t>(v.integer("index"));
  edit.offset = v.integer("offset");
  edit.row = v.integer("row");
  edit.head = v.integer("head");
  edit.column = v.integer("column");
  return edit;
}

template <class T>
std::vector<std::vector<T>> to_arrays(const Reader& r, const char* field) {
  std::vector<std::vector<T>> out;
  const Napi::Value value = r.get(field);
  if (!value.IsArray()) fail("BAD_ARGUMENT", r.path, ".", field, ": expected an array");
  const auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); ++i) {
    Napi::Object one = Napi::Object::New(r.object.Env());
    one.Set("value", array.Get(i));
    out.push_back(Reader{one, r.path + "." + field}.floats<T>("value"));
  }
  return out;
}

}  // namespace

template <class T>
SweepRequest<T> to_sweep(const Reader& r) {
  SweepRequest<T> out;
  out.batch = to_batch(r.child("batch"));
  out.values = to_arrays<T>(r, "values");
  for (const Reader& edit : r.list("edits")) out.edits.push_back(to_sweep_edit<T>(edit));
  const auto starts = r.ints("starts"), members = r.ints("members");
  bool fits = !starts.empty() && starts.front() == 0 &&
              starts.back() == static_cast<int64_t>(members.size());
  for (size_t i = 1; fits && i < starts.size(); ++i) fits = starts[i - 1] <= starts[i];
  if (!fits) fail("BAD_ARGUMENT", r.path, ": starts and members do not fit together");
  for (size_t v = 0; v + 1 < starts.size(); ++v) {
    out.variants.emplace_back(members.begin() + starts[v], members.begin() + starts[v + 1]);
  }
  out.freeze = static_cast<Freeze>(choice<3>(r, "freeze", {"none", "attention", "attention+mlp"}));
  out.captures = to_sites(r, "captures");
  out.readout = to_readout(r.child("readout"), false);
  out.work_bytes = r.has("workBytes") ? positive(r, "workBytes") : kSweepWorkBytes;
  return out;
}

std::vector<Slice> to_slices(const Reader& r) {
  std::vector<Slice> out;
  for (const Reader& s : r.list("slices")) {
    const auto [n0, n1] = to_range(s, "rows");
    const auto [k0, k1] = to_range(s, "columns");
    out.push_back({to_slot(s), n0, n1, k0, k1});
  }
  return out;
}

UpdateRequest to_update(const Reader& r) {
  return {r.number("lr"),          r.number("beta1"), r.number("beta2"),        r.number("eps"),
          r.number("weightDecay"), r.number("clip"),  r.number("gradientScale")};
}

template <class T>
TrainerState<T> to_state(const Reader& r) {
  TrainerState<T> out;
  out.step = r.integer("step");
  out.gradients = to_arrays<T>(r, "gradients");
  out.first_moments = to_arrays<T>(r, "firstMoments");
  out.second_moments = to_arrays<T>(r, "secondMoments");
  out.values = to_arrays<T>(r, "values");
  return out;
}

#define INSTANTIATE(T)                                                          \
  template std::vector<Edit<T>> to_edits(const Reader&, const char*, Control&); \
  template Range<T> to_range(const Reader&);                                    \
  template std::optional<Directions<T>> to_directions(const Reader&);           \
  template Objective<T> to_objective(const Reader&);                            \
  template SweepRequest<T> to_sweep(const Reader&);                             \
  template TrainerState<T> to_state(const Reader&);
INSTANTIATE(float)
INSTANTIATE(double)
#undef INSTANTIATE

}  // namespace keyheads::addon
