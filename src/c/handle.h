#pragma once
// What the functions of sinks and of jobs share: the handle of a sink, and structs that are moved
// in.

#include <memory>

#include <pgsink/arrow.h>
#include <pgsink/pgsink_c.h>
#include <pgsink/sink.h>

struct pgsink_sink {
  std::shared_ptr<const pgsink::Schema> schema;
  std::unique_ptr<pgsink::Sink> sink;
};

namespace pgsink::c {

/// Releases a struct of Arrow at the end of a call that did not come to taking it over.
template <typename T>
class Moved {
 public:
  explicit Moved(T* owned) : owned_(owned) {}
  ~Moved() {
    if (owned_ != nullptr && owned_->release != nullptr) owned_->release(owned_);
  }
  Moved(const Moved&) = delete;
  Moved& operator=(const Moved&) = delete;

 private:
  T* owned_;
};

}  // namespace pgsink::c
