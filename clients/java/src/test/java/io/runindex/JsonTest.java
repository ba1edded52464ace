package io.runindex;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.google.protobuf.Value.KindCase;
import java.math.BigInteger;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class JsonTest {
  @Test
  void plainObjectsComeBackEqual() {
    Map<String, Object> plain = new HashMap<>();
    plain.put("text", "a");
    plain.put("flag", true);
    plain.put("nothing", null);
    plain.put("number", 1.5);
    plain.put("list", Arrays.asList("b", null, List.of(), Map.of()));
    plain.put("object", Map.of("c", Map.of("d", 2.0)));

    assertEquals(plain, Json.map(Json.struct(plain)));
  }

  @Test
  void anEmptyObjectIsOne() {
    assertEquals(KindCase.STRUCT_VALUE, Json.value(Map.of()).getKindCase());
  }

  @Test
  void integersThatWouldLoseDigitsAreRefused() {
    assertEquals(0x1p53, Json.object(Json.value(1L << 53)));
    assertEquals(0x1p80, Json.object(Json.value(BigInteger.ONE.shiftLeft(80))));
    assertThrows(IllegalArgumentException.class, () -> Json.value((1L << 53) + 1));
    assertThrows(IllegalArgumentException.class, () -> Json.value(Long.MAX_VALUE));
    assertThrows(
        IllegalArgumentException.class,
        () -> Json.struct(Map.of("a", List.of(BigInteger.TEN.pow(400)))));
  }

  @Test
  void whatIsNotJsonIsRefused() {
    assertThrows(IllegalArgumentException.class, () -> Json.value(new Object()));
    assertThrows(IllegalArgumentException.class, () -> Json.value(Map.of(1, "a")));
  }

  @Test
  void dataIsBytesOrJson() {
    assertArrayEquals(new byte[] {1, 2}, Json.data(new byte[] {1, 2}).getBinary().toByteArray());
    assertEquals("a", Json.data("a").getJson().getStringValue());
  }
}
