package io.runindex;

import com.google.protobuf.ByteString;
import com.google.protobuf.ListValue;
import com.google.protobuf.NullValue;
import com.google.protobuf.Struct;
import com.google.protobuf.Value;
import io.runindex.v1.DataValue;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Converts plain Java objects to the contract's JSON, and back.
 *
 * <p>JSON is made of maps with string keys, iterables, strings, booleans, numbers and null. Numbers
 * are IEEE doubles in the contract: an integer that would lose digits is refused, so send such as
 * strings. They come back as {@link Double}.
 */
public final class Json {
  private Json() {}

  /**
   * Returns an object, such as the metadata of a run.
   *
   * @throws IllegalArgumentException when something in it is not JSON, or would lose digits
   */
  public static Struct struct(Map<String, ?> members) {
    Struct.Builder struct = Struct.newBuilder();
    members.forEach((key, member) -> struct.putFields(key, value(member)));
    return struct.build();
  }

  /**
   * Returns any JSON value.
   *
   * @throws IllegalArgumentException when something in it is not JSON, or would lose digits
   */
  public static Value value(Object plain) {
    Value.Builder value = Value.newBuilder();
    if (plain == null) {
      value.setNullValue(NullValue.NULL_VALUE);
    } else if (plain instanceof Value made) {
      return made;
    } else if (plain instanceof Struct made) {
      value.setStructValue(made);
    } else if (plain instanceof CharSequence text) {
      value.setStringValue(text.toString());
    } else if (plain instanceof Boolean bool) {
      value.setBoolValue(bool);
    } else if (plain instanceof Number number) {
      value.setNumberValue(number(number));
    } else if (plain instanceof Map<?, ?> members) {
      members.forEach(
          (key, member) -> value.getStructValueBuilder().putFields(key(key), value(member)));
      // An empty object is one, too.
      value.getStructValueBuilder();
    } else if (plain instanceof Iterable<?> elements) {
      ListValue.Builder list = ListValue.newBuilder();
      elements.forEach(element -> list.addValues(value(element)));
      value.setListValue(list);
    } else {
      throw new IllegalArgumentException("%s is not JSON".formatted(plain.getClass().getName()));
    }
    return value.build();
  }

  /**
   * Returns a value for the data of a run: bytes of a {@code byte[]} or a {@link ByteString}, else
   * JSON.
   *
   * @throws IllegalArgumentException when something in it is not JSON, or would lose digits
   */
  public static DataValue data(Object plain) {
    if (plain instanceof byte[] bytes) {
      return DataValue.newBuilder().setBinary(ByteString.copyFrom(bytes)).build();
    }
    if (plain instanceof ByteString bytes) {
      return DataValue.newBuilder().setBinary(bytes).build();
    }
    return DataValue.newBuilder().setJson(value(plain)).build();
  }

  /** Returns the members of an object, in a map that cannot be changed. */
  public static Map<String, Object> map(Struct struct) {
    Map<String, Object> members = new LinkedHashMap<>();
    struct.getFieldsMap().forEach((key, member) -> members.put(key, object(member)));
    return Collections.unmodifiableMap(members);
  }

  /** Returns the plain form of a value: a map, list, string, boolean, {@link Double} or null. */
  public static Object object(Value value) {
    return switch (value.getKindCase()) {
      case STRUCT_VALUE -> map(value.getStructValue());
      case LIST_VALUE -> list(value.getListValue());
      case STRING_VALUE -> value.getStringValue();
      case BOOL_VALUE -> value.getBoolValue();
      case NUMBER_VALUE -> value.getNumberValue();
      case NULL_VALUE, KIND_NOT_SET -> null;
    };
  }

  private static List<Object> list(ListValue values) {
    List<Object> elements = new ArrayList<>(values.getValuesCount());
    values.getValuesList().forEach(element -> elements.add(object(element)));
    return Collections.unmodifiableList(elements);
  }

  private static String key(Object key) {
    if (key instanceof String text) {
      return text;
    }
    throw new IllegalArgumentException("%s is not a key of a JSON object".formatted(key));
  }

  private static double number(Number number) {
    double converted = number.doubleValue();
    boolean isWhole = number instanceof Long || number instanceof BigInteger;
    if (isWhole && new BigDecimal(converted).compareTo(new BigDecimal(number.toString())) != 0) {
      throw new IllegalArgumentException(
          "%s would lose digits as a double: send it as a string".formatted(number));
    }
    return converted;
  }
}
