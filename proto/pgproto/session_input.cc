#include <type_traits>
#include <variant>

#include <pgproto/session_input.h>

namespace pgproto {

using session_table::Input;

namespace {

Input classify_authentication(Authentication::Code code) {
  switch (code) {
    case Authentication::Code::kOk:
      return Input::kAuthOk;
    case Authentication::Code::kCleartextPassword:
    case Authentication::Code::kMd5Password:
      return Input::kAuthPassword;
    case Authentication::Code::kSasl:
      return Input::kAuthSasl;
    case Authentication::Code::kSaslContinue:
      return Input::kAuthSaslContinue;
    case Authentication::Code::kSaslFinal:
      return Input::kAuthSaslFinal;
    default:
      return Input::kAuthOther;
  }
}

// The inputs that follow from the message's type alone.
template <typename Message>
constexpr Input plain_input() {
  if constexpr (std::is_same_v<Message, BackendKeyData>) return Input::kBackendKeyData;
  if constexpr (std::is_same_v<Message, NegotiateProtocolVersion>) {
    return Input::kNegotiateProtocolVersion;
  }
  if constexpr (std::is_same_v<Message, ParameterStatus>) return Input::kParameterStatus;
  if constexpr (std::is_same_v<Message, NoticeResponse>) return Input::kNoticeResponse;
  if constexpr (std::is_same_v<Message, NotificationResponse>) return Input::kNotificationResponse;
  if constexpr (std::is_same_v<Message, ReadyForQuery>) return Input::kReadyForQuery;
  if constexpr (std::is_same_v<Message, RowDescription>) return Input::kRowDescription;
  if constexpr (std::is_same_v<Message, DataRow>) return Input::kDataRow;
  if constexpr (std::is_same_v<Message, EmptyQueryResponse>) return Input::kEmptyQueryResponse;
  if constexpr (std::is_same_v<Message, CopyOutResponse>) return Input::kCopyOutResponse;
  if constexpr (std::is_same_v<Message, CopyData>) return Input::kCopyData;
  if constexpr (std::is_same_v<Message, CopyDone>) return Input::kCopyDone;
  if constexpr (std::is_same_v<Message, ParseComplete>) return Input::kParseComplete;
  if constexpr (std::is_same_v<Message, BindComplete>) return Input::kBindComplete;
  if constexpr (std::is_same_v<Message, CloseComplete>) return Input::kCloseComplete;
  if constexpr (std::is_same_v<Message, NoData>) return Input::kNoData;
  if constexpr (std::is_same_v<Message, PortalSuspended>) return Input::kPortalSuspended;
  if constexpr (std::is_same_v<Message, ParameterDescription>) return Input::kParameterDescription;
  return Input::kOther;
}

Input classify_copy_in(const RequestQueue& requests) {
  if (requests.empty() || requests.front_announces_copy()) return Input::kCopyInResponse;
  return requests.size() == 1 ? Input::kCopyInUnannounced : Input::kCopyUnanswerable;
}

}  // namespace

// The severity that is never localised exists since PostgreSQL 9.6.
bool is_fatal(const DiagnosticFields& fields) {
  const auto severity = fields.severity_plain.empty() ? fields.severity : fields.severity_plain;
  return severity == "FATAL" || severity == "PANIC";
}

Input classify(const BackendMessage& message, const RequestQueue& requests) {
  return std::visit(
      [&requests](const auto& m) {
        using Message = std::decay_t<decltype(m)>;
        if constexpr (std::is_same_v<Message, Authentication>) {
          return classify_authentication(m.code);
        } else if constexpr (std::is_same_v<Message, ErrorResponse>) {
          return is_fatal(m) ? Input::kFatalErrorResponse : Input::kErrorResponse;
        } else if constexpr (std::is_same_v<Message, CommandComplete>) {
          return requests.front_copy_is_open() ? Input::kCommandCompleteEarly
                                               : Input::kCommandComplete;
        } else if constexpr (std::is_same_v<Message, CopyInResponse>) {
          return classify_copy_in(requests);
        } else if constexpr (std::is_same_v<Message, CopyBothResponse>) {
          return requests.front_announces_copy() ? Input::kCopyBothResponse
                                                 : Input::kCopyUnanswerable;
        } else {
          return plain_input<Message>();
        }
      },
      message);
}

}  // namespace pgproto
