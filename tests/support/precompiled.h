#pragma once
// What nearly every test includes, compiled once. A test still includes what it uses.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <pgproto/error.h>

#include <pgsink/sink.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
