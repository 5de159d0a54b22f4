#include "pgsink/lane/lane_link.h"

#include <utility>

#include "pgsink/replication/publication.h"
#include "pgsink/sql/control.h"

namespace pgsink {

void LaneLink::adopt(PoolLease place) {
  place_ = std::move(place);
  open_session();
}

/// A session carries the sink's origin and is marked as this writer's before it writes.
Status LaneLink::connect() {
  Status ready = place_.connect();
  if (ready) {
    ready = mark_session(*place_, setup_.origin, backend_, setup_.env.clock.now() + kAskTimeout);
  }
  if (ready) ready = setup_.delivery.attach(*place_);
  if (!ready) {
    place_.reset();
    return ready;
  }
  open_session();
  return {};
}

void LaneLink::open_session() {
  backend_ = place_->server().backend;
  session_.emplace(*place_, setup_.target->plan, setup_.env.random, setup_.statements_max);
  setup_.inbox.set_waker(setup_.lane, [open = place_.get()] { open->interrupt(); });
}

void LaneLink::close_session() {
  setup_.inbox.set_waker(setup_.lane, {});
  session_.reset();
}

void LaneLink::drop() {
  close_session();
  place_.reset();
}

void LaneLink::leave(bool is_clean) {
  close_session();
  // An origin would stay set.
  is_clean&& setup_.origin.empty() ? place_.give_back() : place_.drop();
}

FlightLog::Connected LaneLink::connected() const {
  return {place_->server().incarnation,
          place_->is_direct() ? place_->server().backend : BackendIdentity{},
          place_->server().xid_end};
}

}  // namespace pgsink
