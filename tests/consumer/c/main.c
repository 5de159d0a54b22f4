/* A program in C: the rows of one batch into a table, and what is wrong in words. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pgsink/pgsink_c.h>

static void release_schema(struct ArrowSchema* schema) { schema->release = NULL; }
static void release_array(struct ArrowArray* array) { array->release = NULL; }

/* All memory is static here: there is nothing to release but the structs themselves. */
static void make_schema(struct ArrowSchema* schema) {
  static struct ArrowSchema columns[2];
  static struct ArrowSchema* children[2] = {&columns[0], &columns[1]};
  memset(columns, 0, sizeof columns);
  columns[0].format = "l"; /* 64-bit integers */
  columns[0].name = "id";
  columns[0].release = release_schema;
  columns[1].format = "g"; /* doubles */
  columns[1].name = "price";
  columns[1].release = release_schema;
  memset(schema, 0, sizeof *schema);
  schema->format = "+s";
  schema->n_children = 2;
  schema->children = children;
  schema->release = release_schema;
}

static void make_batch(struct ArrowArray* batch) {
  static const int64_t ids[] = {1, 2};
  static const double prices[] = {10.25, 99.5};
  static const void* buffers[3][2] = {{NULL, ids}, {NULL, prices}, {NULL, NULL}};
  static struct ArrowArray columns[2];
  static struct ArrowArray* children[2] = {&columns[0], &columns[1]};
  int i;
  memset(columns, 0, sizeof columns);
  for (i = 0; i < 2; ++i) {
    columns[i].length = 2;
    columns[i].n_buffers = 2;
    columns[i].buffers = buffers[i];
    columns[i].release = release_array;
  }
  memset(batch, 0, sizeof *batch);
  batch->length = 2;
  batch->n_buffers = 1;
  batch->buffers = buffers[2];
  batch->n_children = 2;
  batch->children = children;
  batch->release = release_array;
}

int main(int count, char** arguments) {
  const pgsink_option options[] = {{"url", count > 1 ? arguments[1] : ""}, {"table", "trades"}};
  struct ArrowSchema schema;
  struct ArrowArray batch;
  pgsink_error error = PGSINK_ERROR_INIT;
  pgsink_sink* sink = NULL;
  int failed;
  make_schema(&schema);
  make_batch(&batch);
  failed = pgsink_sink_open(options, 2, &schema, NULL, &sink, &error);
  if (!failed) failed = pgsink_sink_write(sink, NULL, &batch, 0, &error);
  if (!failed) failed = pgsink_sink_close(sink, &error);
  if (failed) fprintf(stderr, "PGS-%d: %s %s\n", failed, error.message, error.detail);
  pgsink_sink_free(sink);
  pgsink_error_clear(&error);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
