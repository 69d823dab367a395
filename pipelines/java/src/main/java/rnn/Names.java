package rnn;

import org.apache.beam.fn.harness.ExternalWorkerService;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.PipelineResult.State;
import org.apache.beam.sdk.extensions.python.PythonExternalTransform;
import org.apache.beam.sdk.fn.server.GrpcFnServer;
import org.apache.beam.sdk.io.TextIO;
import org.apache.beam.sdk.options.Description;
import org.apache.beam.sdk.options.PipelineOptions;
import org.apache.beam.sdk.options.PipelineOptionsFactory;
import org.apache.beam.sdk.options.PortablePipelineOptions;
import org.apache.beam.sdk.options.Validation;
import org.apache.beam.sdk.schemas.Schema;
import org.apache.beam.sdk.transforms.JsonToRow;
import org.apache.beam.sdk.transforms.ToJson;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.Row;

/** Names of people, places and organisations in texts: a Java pipeline around a network in Python. */
public class Names {
  public interface Options extends PipelineOptions {
    @Description("JSON lines with the fields user and text")
    @Validation.Required
    String getInput();

    void setInput(String value);

    @Description("Where the words are written, as JSON lines")
    @Validation.Required
    String getOutput();

    void setOutput(String value);

    @Description("The weights, where the Python worker can read them")
    @Validation.Required
    String getModel();

    void setModel(String value);

    @Description("HOST:PORT of the Python expansion service")
    String getExpansionService();

    void setExpansionService(String value);
  }

  private static final Schema TEXTS =
      Schema.builder().addStringField("user").addStringField("text").build();

  public static void main(String[] args) throws Exception {
    Options options = PipelineOptionsFactory.fromArgs(args).withValidation().as(Options.class);
    // An external transform wants to know the Java worker as it expands, before LOOPBACK starts one.
    GrpcFnServer<?> worker = new ExternalWorkerService(options).start();
    PortablePipelineOptions portable = options.as(PortablePipelineOptions.class);
    portable.setDefaultEnvironmentType("EXTERNAL");
    portable.setDefaultEnvironmentConfig(worker.getApiServiceDescriptor().getUrl());
    Pipeline pipeline = Pipeline.create(options);
    PCollection<Row> texts =
        pipeline.apply(TextIO.read().from(options.getInput())).apply(JsonToRow.withSchema(TEXTS));
    PCollection<Row> words =
        texts.apply(
            PythonExternalTransform.<PCollection<Row>, PCollection<Row>>from(
                    "beam_rnn.external.Tag", options.getExpansionService())
                .withKwarg("model", options.getModel())
                .withKwarg("stream", "user")
                .withKwarg("x", "text")
                .withKwarg("feature", "Words"));
    words.apply(ToJson.of()).apply(TextIO.write().to(options.getOutput()).withoutSharding());
    State state = pipeline.run().waitUntilFinish();
    worker.close();
    System.exit(state == State.DONE ? 0 : 1);
  }
}
