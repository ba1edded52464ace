package io.runindex;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonParser;
import com.google.protobuf.Descriptors.MethodDescriptor;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.MessageOrBuilder;
import com.google.protobuf.util.JsonFormat;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Iterator;
import java.util.Map;

/** A method of the client, found by the name that the contract gives it. */
record ClientMethod(Method service, Method method) {
  /** By {@code package.Service/Method}. */
  private static final Map<String, ClientMethod> ALL = all();

  /** What a call came to, and the refusal that ended it, or null. */
  record Outcome(JsonElement came, RunIndexException refusal) {}

  static ClientMethod of(String name) {
    ClientMethod found = ALL.get(name);
    if (found == null) {
      throw new AssertionError("the client has no such method");
    }
    return found;
  }

  /** Calls a method with one response; of a collection, asks for the first page only. */
  Outcome call(RunIndexClient client, JsonElement request) {
    try {
      Object answer = invoke(client, request);
      if (answer instanceof Pages<?, ?> pages) {
        answer = pages.firstPage();
      }
      return new Outcome(json(as(Message.class, answer)), null);
    } catch (RunIndexException refusal) {
      return new Outcome(null, refusal);
    }
  }

  /** Iterates over all items of a collection. */
  Outcome each(RunIndexClient client, JsonElement request) {
    return drain(as(Pages.class, invoke(client, request)).iterator());
  }

  /** Takes all responses of a stream. */
  Outcome stream(RunIndexClient client, JsonElement request) {
    try {
      return drain(as(Iterator.class, invoke(client, request)));
    } catch (RunIndexException refusal) {
      return new Outcome(new JsonArray(), refusal);
    }
  }

  private static Outcome drain(Iterator<?> messages) {
    JsonArray came = new JsonArray();
    try {
      while (messages.hasNext()) {
        came.add(json((Message) messages.next()));
      }
      return new Outcome(came, null);
    } catch (RunIndexException refusal) {
      return new Outcome(came, refusal);
    }
  }

  private static <T> T as(Class<T> kind, Object answer) {
    if (!kind.isInstance(answer)) {
      throw new AssertionError("the method is of another kind");
    }
    return kind.cast(answer);
  }

  private Object invoke(RunIndexClient client, JsonElement request) {
    try {
      Message.Builder message =
          (Message.Builder) method.getParameterTypes()[0].getMethod("newBuilder").invoke(null);
      JsonFormat.parser().merge(request.toString(), message);
      return method.invoke(service.invoke(client), message.build());
    } catch (InvalidProtocolBufferException fault) {
      throw new AssertionError("request: " + fault.getMessage(), fault);
    } catch (InvocationTargetException thrown) {
      if (thrown.getCause() instanceof RunIndexException refusal) {
        throw refusal;
      }
      throw new AssertionError(thrown.getCause());
    } catch (ReflectiveOperationException fault) {
      throw new AssertionError(fault);
    }
  }

  private static JsonElement json(MessageOrBuilder message) {
    try {
      return JsonParser.parseString(
          JsonFormat.printer().includingDefaultValueFields().print(message));
    } catch (InvalidProtocolBufferException fault) {
      throw new AssertionError(fault);
    }
  }

  private static Map<String, ClientMethod> all() {
    Map<String, ClientMethod> methods = new HashMap<>();
    for (Method service : RunIndexClient.class.getMethods()) {
      for (Method method : service.getReturnType().getDeclaredMethods()) {
        if (Modifier.isPublic(method.getModifiers())
            && service.getParameterCount() == 0
            && method.getParameterCount() == 1
            && Message.class.isAssignableFrom(method.getParameterTypes()[0])) {
          methods.put(nameOf(method), new ClientMethod(service, method));
        }
      }
    }
    return methods;
  }

  /** Returns the name of the RPC that takes the request which a method takes. */
  private static String nameOf(Method method) {
    try {
      Message request =
          (Message) method.getParameterTypes()[0].getMethod("getDefaultInstance").invoke(null);
      MethodDescriptor found =
          request.getDescriptorForType().getFile().getServices().stream()
              .flatMap(service -> service.getMethods().stream())
              .filter(rpc -> rpc.getInputType().equals(request.getDescriptorForType()))
              .findAny()
              .orElseThrow();
      return found.getService().getFullName() + "/" + found.getName();
    } catch (ReflectiveOperationException fault) {
      throw new AssertionError(Arrays.toString(method.getParameterTypes()), fault);
    }
  }
}
