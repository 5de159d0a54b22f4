// Arrow into PostgreSQL, without a copy: any producer of the Arrow C Data Interface will do. Here
// the two arrays are made by hand.
//
//   embed_arrow 'postgresql://user@localhost/analytics'
//
// The table: CREATE TABLE readings (sensor bigint, place text)

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include <pgsink/arrow.h>
#include <pgsink/sink.h>

namespace {

// ---- a producer, as a library that hands over Arrow would be ------------------------------------

struct Readings {
  std::vector<int64_t> sensors{1, 2, 3};
  std::vector<int32_t> ends{0, 4, 4, 10};  // of the texts below; the second is NULL
  std::string places = "roofcellar";
  uint8_t place_is_there = 0b101;
  std::vector<const void*> no_nulls{nullptr}, sensor_buffers, place_buffers;
  ArrowArray sensor{}, place{};
  std::vector<ArrowArray*> columns;
};

void keep(ArrowArray* array) { array->release = nullptr; }

ArrowArray produce() {
  auto* const readings = new Readings;
  readings->sensor_buffers = {nullptr, readings->sensors.data()};
  readings->place_buffers = {&readings->place_is_there, readings->ends.data(),
                             readings->places.data()};
  readings->sensor.length = readings->place.length = 3;
  readings->place.null_count = 1;
  readings->sensor.n_buffers = 2;
  readings->sensor.buffers = readings->sensor_buffers.data();
  readings->place.n_buffers = 3;
  readings->place.buffers = readings->place_buffers.data();
  readings->sensor.release = readings->place.release = keep;
  readings->columns = {&readings->sensor, &readings->place};
  ArrowArray batch{};
  batch.length = 3;
  batch.n_buffers = 1;
  batch.buffers = readings->no_nulls.data();
  batch.n_children = 2;
  batch.children = readings->columns.data();
  batch.private_data = readings;
  batch.release = [](ArrowArray* array) {
    delete static_cast<Readings*>(array->private_data);
    array->release = nullptr;
  };
  return batch;
}

void keep_schema(ArrowSchema* schema) { schema->release = nullptr; }

void check(const pgsink::Status& status) {
  if (status) return;
  std::fprintf(stderr, "%s\n", status.error().to_string().c_str());
  std::exit(1);
}

template <typename T>
T checked(pgsink::Result<T> result) {
  if (!result) check(pgsink::fail(result.error()));
  return *std::move(result);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) {
    std::fprintf(stderr, "usage: %s CONNECTION_URI\n", arguments[0]);
    return 2;
  }
  ArrowSchema sensor{}, place{}, record{};
  sensor.format = "l";
  sensor.name = "sensor";
  place.format = "u";
  place.name = "place";
  place.flags = ARROW_FLAG_NULLABLE;
  sensor.release = place.release = record.release = keep_schema;
  ArrowSchema* fields[] = {&sensor, &place};
  record.format = "+s";
  record.n_children = 2;
  record.children = fields;
  const auto schema = checked(pgsink::import_arrow_schema(&record));

  pgsink::SinkOptions options;
  options.connection_name = "readings";
  options.url = arguments[1];
  options.table = "readings";
  auto sink = checked(pgsink::Sink::open(options, schema));
  ArrowArray array = produce();
  check(sink->write(checked(pgsink::import_arrow_batch(schema, &array))));
  check(sink->close());
}
